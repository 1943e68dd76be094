//! The directory of contexts, `~/.smrctl/contexts`: a file per context and `.active`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    Context, ContextError, ExportedContext,
    files::{ensure_private_dir, read_private, write_private},
    subject,
};

/// The name that is active while `.active` does not say otherwise.
pub const DEFAULT_CONTEXT: &str = "default";

const ACTIVE_FILE: &str = ".active";
/// Older tools keep the keys of exports beside the contexts.
const KEY_SUFFIX: &str = ".key";

/// A directory of contexts. Nothing is made until something is saved.
#[derive(Debug, Clone)]
pub struct ContextStore {
    dir: PathBuf,
}

impl ContextStore {
    /// The contexts in `dir`, which need not exist.
    pub fn open(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The names of all contexts, sorted.
    pub fn list(&self) -> Result<Vec<String>, ContextError> {
        let failed = |source| ContextError::List { dir: self.dir.clone(), source };
        let entries = match fs::read_dir(&self.dir) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if check_name(&name).is_ok() && entry.path().is_file() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The name of the active context; `None` if that context does not exist.
    pub fn current_name(&self) -> Result<Option<String>, ContextError> {
        let name = match read_private(&self.dir.join(ACTIVE_FILE))? {
            Some(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
            None => DEFAULT_CONTEXT.to_owned(),
        };
        let exists = check_name(&name).is_ok() && self.dir.join(&name).is_file();
        Ok(exists.then_some(name))
    }

    /// The active context.
    ///
    /// # Errors
    /// [`ContextError::NoActive`], and what is wrong with its file.
    pub fn current(&self) -> Result<Context, ContextError> {
        let name = self.current_name()?.ok_or(ContextError::NoActive)?;
        self.get(&name)
    }

    /// Makes a context the active one.
    ///
    /// # Errors
    /// [`ContextError::NotFound`] names those there are.
    pub fn switch(&self, name: &str) -> Result<(), ContextError> {
        self.get(name)?;
        write_private(&self.dir.join(ACTIVE_FILE), name.as_bytes())?;
        Ok(())
    }

    /// Reads a context.
    ///
    /// # Errors
    /// [`ContextError::NotFound`], [`ContextError::NotAContext`] with the path.
    pub fn get(&self, name: &str) -> Result<Context, ContextError> {
        let path = self.path(name)?;
        let Some(json) = read_private(&path)? else {
            return Err(ContextError::NotFound { name: name.to_owned(), known: self.list()? });
        };
        let origin = format!("`{}`", path.display());
        // The name of the file counts: files are copied and renamed by hand.
        Ok(Context { name: name.to_owned(), ..Context::from_json(&json, &origin)? })
    }

    /// Whether there is a context of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.path(name).is_ok_and(|path| path.is_file())
    }

    /// Writes a context, replacing one of the same name.
    pub fn save(&self, context: &Context) -> Result<(), ContextError> {
        let path = self.path(context.name())?;
        ensure_private_dir(&self.dir)?;
        write_private(&path, &context.to_json())?;
        Ok(())
    }

    /// Removes a context. If it was the active one, none is active afterwards.
    ///
    /// # Errors
    /// [`ContextError::NotFound`], [`ContextError::Remove`].
    pub fn remove(&self, name: &str) -> Result<(), ContextError> {
        let path = self.path(name)?;
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                Err(ContextError::NotFound { name: name.to_owned(), known: self.list()? })
            }
            Err(source) => Err(ContextError::Remove { path, source }),
        }
    }

    /// Exports a context, with another address if `api` is given.
    ///
    /// # Errors
    /// Those of [`ContextStore::get`]; [`ContextError::BadUrl`].
    pub fn export(&self, name: &str, api: Option<&str>) -> Result<ExportedContext, ContextError> {
        let context = self.get(name)?;
        context.credentials()?;
        match api {
            Some(api) => context.with_api(api)?.export(),
            None => context.export(),
        }
    }

    /// Decrypts an exported context and gives it `name`, or else the host of its address. It is
    /// returned, not saved: the caller may want to try it, and to ask before replacing another.
    ///
    /// # Errors
    /// Those of [`ExportedContext::open`].
    pub fn import(
        &self,
        exported: &ExportedContext,
        name: Option<&str>,
    ) -> Result<Context, ContextError> {
        let context = exported.open()?;
        // Colons of an IPv6 address have no place in a name.
        let name = name.map_or_else(
            || context.host().trim_start_matches(':').replace(':', "-"),
            str::to_owned,
        );
        context.renamed(&name)
    }

    fn path(&self, name: &str) -> Result<PathBuf, ContextError> {
        check_name(name)?;
        Ok(self.dir.join(name))
    }
}

/// Refuses names that are no plain file names; the rules of [`ContextError::BadName`].
pub(crate) fn check_name(name: &str) -> Result<(), ContextError> {
    match subject::check_name(name) {
        Ok(()) if !name.ends_with(KEY_SUFFIX) => Ok(()),
        _ => Err(ContextError::BadName { name: name.to_owned() }),
    }
}
