//! `config`: writing, checking and showing `smr.toml`.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
};

use smr_config::Config;

use super::{DONE, Outcome, node};
use crate::{
    args::{ConfigCommand, ConfigInitArgs},
    error::Error,
    settings::Settings,
};

/// `config`.
pub(crate) fn run(settings: &Settings, command: ConfigCommand) -> Outcome {
    let printer = settings.printer;
    match command {
        ConfigCommand::Init(args) => return init(settings, &args),
        ConfigCommand::Check(args) => {
            let file = args.file.or(args.config).unwrap_or(smr_config::DEFAULT_PATH.into());
            Config::load(&file, &settings.host())?;
            printer.line(format_args!("{} is valid", file.display()))?;
        }
        ConfigCommand::Show(args) => {
            let config = node::load(settings, &args.config)?;
            let text = if args.defaults { config.render_defaults() } else { config.render() };
            printer.text(&text)?;
        }
        ConfigCommand::Schema => printer.json(&smr_config::schema())?,
    }
    Ok(DONE)
}

fn init(settings: &Settings, args: &ConfigInitArgs) -> Outcome {
    let text = smr_config::init_text();
    if args.file == Path::new("-") {
        settings.printer.text(&text)?;
        return Ok(DONE);
    }
    write_new(&args.file, text.as_bytes(), args.force)?;
    settings.printer.line(format_args!("config created and saved at {}", args.file.display()))?;
    Ok(DONE)
}

/// Writes a file that must not be there unless `force` is set; makes its directory.
pub(crate) fn write_new(path: &Path, bytes: &[u8], force: bool) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        fs::create_dir_all(dir).map_err(failed)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(force).truncate(force).create_new(!force);
    let mut file = match options.open(path) {
        Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Error::Exists { path: path.to_owned() });
        }
        file => file.map_err(failed)?,
    };
    file.write_all(bytes).map_err(failed)
}
