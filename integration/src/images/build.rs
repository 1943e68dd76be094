//! Builds the root file system of a [`Recipe`] as a tar.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::Recipe;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/:/bin/false\n\
    nobody:x:65534:65534::/:/bin/false\n";
const GROUP: &str = "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n";

/// Downloads, unpacks, picks and packs. `packages` is the folder of downloaded packages, shared by all recipes.
pub(super) fn build(recipe: &Recipe, packages: &Path, tar: &Path) -> Result<()> {
    let work = WorkDir::create(recipe.name)?;
    let unpacked = work.0.join("unpacked");
    let mut image = Image { from: unpacked.clone(), to: work.0.join("root") };
    for tree in [&image.from, &image.to] {
        make_merged_usr(tree)?;
    }
    for package in download(recipe.packages, packages, &work.0)? {
        unpack(&packages.join(package), &unpacked)?;
    }
    for pattern in recipe.files.iter().chain(&["bin/busybox"]) {
        let found = expand(&unpacked, pattern)?;
        if found.is_empty() {
            bail!("no file `{pattern}` in packages {:?}", recipe.packages);
        }
        for file in found {
            image.keep(&file)?;
        }
    }
    add_own_files(recipe, &image.to)?;
    add_links(recipe, &image.to)?;
    run(Command::new("tar")
        .args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"])
        .arg("-cf")
        .arg(tar)
        .arg("-C")
        .arg(&image.to)
        .arg("."))?;
    Ok(())
}

/// A folder under the system's temporary one that goes away with this value.
struct WorkDir(PathBuf);

impl WorkDir {
    fn create(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("smr-image-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("create `{}`", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// `/bin`, `/sbin`, `/lib`, `/lib64` as links into `/usr`, as Debian has them.
fn make_merged_usr(root: &Path) -> Result<()> {
    for name in ["bin", "sbin", "lib", "lib64"] {
        fs::create_dir_all(root.join("usr").join(name))?;
        symlink(format!("usr/{name}"), root.join(name))?;
    }
    Ok(())
}

/// Downloads packages with all they depend on; returns the file names. Packages that are there already are
/// not fetched again.
fn download(packages: &[&str], cache: &Path, work: &Path) -> Result<Vec<String>> {
    fs::create_dir_all(cache.join("partial"))?;
    let status = work.join("status");
    fs::write(&status, "")?;
    let apt = |archives: &Path, mode: &str| {
        let mut command = Command::new("apt-get");
        command
            .args(["-qq", "-y", "-o", "APT::Install-Recommends=false"])
            .args(["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"])
            // Nothing is installed in the image, whatever this machine has.
            .args(["-o", &format!("Dir::State::status={}", status.display())])
            .args(["-o", &format!("Dir::Cache::archives={}/", archives.display())])
            .arg(mode)
            .arg("install")
            .args(packages);
        command
    };
    if run(&mut apt(cache, "--download-only")).is_err() {
        // Lists that were never fetched, or name versions that the mirror no longer has.
        run(Command::new("apt-get").args(["-qq", "update"]))?;
        run(&mut apt(cache, "--download-only"))?;
    }
    // Names of cached packages are not printed, so ask with an empty cache.
    let listed = run(&mut apt(&work.join("nothing"), "--print-uris"))?;
    Ok(listed.lines().filter_map(|line| line.split(' ').nth(1)).map(str::to_owned).collect())
}

fn unpack(package: &Path, to: &Path) -> Result<()> {
    let script = "set -e; dpkg-deb --fsys-tarfile \"$1\" | tar -x -C \"$2\" --keep-directory-symlink --no-same-owner";
    run(Command::new("sh").args(["-c", script, "sh"]).arg(package).arg(to)).map(drop)
}

/// Paths below `root` that match a pattern in which `*` stands for any part of one name.
fn expand(root: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.split('/') {
        let mut next = Vec::new();
        for base in found {
            if let Some((before, after)) = part.split_once('*') {
                let Ok(entries) = fs::read_dir(root.join(&base)) else { continue };
                for entry in entries {
                    let name = entry?.file_name();
                    let fits = name.to_str().is_some_and(|name| {
                        name.len() >= part.len() - 1
                            && name.starts_with(before)
                            && name.ends_with(after)
                    });
                    if fits {
                        next.push(base.join(name));
                    }
                }
            } else if root.join(&base).join(part).symlink_metadata().is_ok() {
                next.push(base.join(part));
            }
        }
        next.sort();
        found = next;
    }
    Ok(found)
}

/// The image under construction: picks from one tree into another.
struct Image {
    from: PathBuf,
    to: PathBuf,
}

impl Image {
    /// Copies a file or folder; links with what they point to, programs with their libraries.
    fn keep(&mut self, path: &Path) -> Result<()> {
        let (source, target) = (self.from.join(path), self.to.join(path));
        if target.symlink_metadata().is_ok_and(|meta| !meta.is_dir()) {
            return Ok(());
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        let meta = source.symlink_metadata().with_context(|| format!("`{}`", path.display()))?;
        if meta.is_symlink() {
            let to = fs::read_link(&source)?;
            symlink(&to, &target)?;
            let base = path.parent().unwrap_or(Path::new(""));
            let resolved = normalize(&base.join(&to));
            if self.from.join(&resolved).exists() {
                self.keep(&resolved)?;
            }
        } else if meta.is_dir() {
            fs::create_dir_all(&target)?;
            for entry in fs::read_dir(&source)? {
                self.keep(&path.join(entry?.file_name()))?;
            }
        } else {
            fs::copy(&source, &target)?;
            self.keep_libraries(&source)?;
        }
        Ok(())
    }

    fn keep_libraries(&mut self, file: &Path) -> Result<()> {
        if !fs::read(file)?.starts_with(b"\x7fELF") {
            return Ok(());
        }
        let headers = run(Command::new("readelf").arg("-ld").arg(file))?;
        for line in headers.lines() {
            if let Some((_, rest)) = line.split_once("program interpreter: ") {
                let interpreter = rest.trim_end_matches(']').trim_start_matches('/');
                self.keep(&merged(interpreter))?;
            } else if line.contains("(NEEDED)")
                && let Some((_, rest)) = line.split_once('[')
            {
                let library = self.library(rest.trim_end_matches(']'))?;
                self.keep(&library)?;
            }
        }
        Ok(())
    }

    /// Where the tree has a library: in a multi-arch folder of `/usr/lib`, or one of those below it.
    fn library(&self, name: &str) -> Result<PathBuf> {
        for pattern in ["usr/lib/*-linux-gnu", "usr/lib", "usr/lib/*-linux-gnu/*", "usr/lib64"] {
            for folder in expand(&self.from, pattern)? {
                if self.from.join(&folder).join(name).exists() {
                    return Ok(folder.join(name));
                }
            }
        }
        bail!("library `{name}` is in none of the packages")
    }
}

/// A path below `/lib...` as the path below `/usr` that it is.
fn merged(path: &str) -> PathBuf {
    if path.starts_with("lib") { Path::new("usr").join(path) } else { PathBuf::from(path) }
}

/// Takes `.` and `..` and a leading `/` out of a path.
fn normalize(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::Normal(name) => out.push(name),
            Component::RootDir => out.clear(),
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
    out
}

fn add_own_files(recipe: &Recipe, root: &Path) -> Result<()> {
    for folder in ["dev", "etc", "proc", "root", "run", "sys", "tmp", "var/tmp"] {
        fs::create_dir_all(root.join(folder))?;
    }
    for folder in ["tmp", "var/tmp"] {
        fs::set_permissions(root.join(folder), fs::Permissions::from_mode(0o1777))?;
    }
    let accounts = [("etc/passwd", false, PASSWD), ("etc/group", false, GROUP)];
    for (path, program, text) in accounts.iter().chain(recipe.own) {
        let target = root.join(path);
        if path.ends_with('/') {
            fs::create_dir_all(&target)?;
            continue;
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&target, text)?;
        let mode = if *program { 0o755 } else { 0o644 };
        fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

fn add_links(recipe: &Recipe, root: &Path) -> Result<()> {
    let local = root.join("usr/local/bin");
    fs::create_dir_all(&local)?;
    for pattern in recipe.links {
        for program in expand(root, pattern)? {
            let name = program.file_name().unwrap_or(OsStr::new(""));
            symlink(Path::new("/").join(&program), local.join(name))?;
        }
    }
    let applets = run(Command::new(root.join("usr/bin/busybox")).arg("--list"))?;
    for applet in applets.lines() {
        let taken = ["bin", "sbin", "local/bin"]
            .iter()
            .any(|folder| root.join("usr").join(folder).join(applet).symlink_metadata().is_ok());
        if !taken {
            symlink("busybox", root.join("usr/bin").join(applet))?;
        }
    }
    Ok(())
}

/// Runs a command to its end; returns what it printed.
fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run `{program}`"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{program}` ended with {}: {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_resolved_inside_the_tree() {
        assert_eq!(normalize(Path::new("usr/bin/../lib/./x")), Path::new("usr/lib/x"));
        assert_eq!(normalize(Path::new("/etc/y")), Path::new("etc/y"));
    }

    #[test]
    fn the_loader_is_found_below_usr() {
        assert_eq!(
            merged("lib64/ld-linux-x86-64.so.2"),
            Path::new("usr/lib64/ld-linux-x86-64.so.2")
        );
    }
}
