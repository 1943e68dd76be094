//! Configurations as text: the effective file and a starter file.

use crate::{
    Config,
    field::{Default, FIELDS, Field, SECTIONS},
    setting::Origin,
};

const WIDTH: usize = 96;

impl Config {
    /// The effective configuration as a file: every key with its value, and what it means. Keys
    /// without a value are shown as comments.
    pub fn render_defaults(&self) -> String {
        let mut text = String::new();
        for section in SECTIONS {
            header(&mut text, section.doc, section.key);
            for field in fields_of(section.key) {
                comment(&mut text, field.doc);
                let name = field.split().1;
                match self.settings.get(field.key) {
                    Some(setting) => {
                        text.push_str(&format!("{name} = {}\n", setting.value.to_toml()));
                    }
                    None => text.push_str(&format!("# {name} = {}\n", field.example)),
                }
            }
        }
        text
    }

    /// The keys that were set, by file or override, as a file.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for section in SECTIONS {
            let set: Vec<String> = fields_of(section.key)
                .filter_map(|field| {
                    let setting = self.settings.get(field.key)?;
                    (setting.origin != Origin::Default)
                        .then(|| format!("{} = {}\n", field.split().1, setting.value.to_toml()))
                })
                .collect();
            if !set.is_empty() {
                if !text.is_empty() {
                    text.push('\n');
                }
                text.push_str(&format!("[{}]\n{}", section.key, set.concat()));
            }
        }
        text
    }
}

/// A file to start from: every key as a comment, with its default or an example.
pub fn init_text() -> String {
    let mut text =
        "# Configuration of smr. Every key has a default; an empty file is a node that is \
                    reachable\n# from this machine only. Check changes with `smr config check`.\n"
            .to_owned();
    for section in SECTIONS {
        header(&mut text, section.doc, section.key);
        for field in fields_of(section.key) {
            comment(&mut text, field.doc);
            let shown = match field.default {
                Default::Is(default) => default,
                Default::Unset | Default::Hostname | Default::ContextsDir => field.example,
            };
            text.push_str(&format!("# {} = {shown}\n", field.split().1));
        }
    }
    text
}

pub(crate) fn fields_of(section: &str) -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().filter(move |field| field.split().0 == section)
}

fn header(text: &mut String, doc: &str, key: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    comment(text, doc);
    text.push_str(&format!("[{key}]\n"));
}

/// `doc` in comment lines of at most `WIDTH` characters.
fn comment(text: &mut String, doc: &str) {
    let mut line = String::from("#");
    for word in doc.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
