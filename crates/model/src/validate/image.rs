//! Image references.

/// Why an image and its tag do not make a reference.
pub(super) enum Fault {
    /// The image field is at fault.
    Image(String),
    /// The tag field is at fault.
    Tag(String),
}

/// Checks `image` and `tag` by the grammar of the distribution specification.
pub(super) fn check(image: &str, tag: &str) -> Result<(), Fault> {
    let at_image = |message: String| Err(Fault::Image(message));
    if image.contains('@') {
        return at_image(format!("`{image}` carries a digest; write it as `tag: sha256:...`"));
    }
    let (first, rest) = image.split_once('/').unwrap_or(("", image));
    let is_host = first == "localhost" || first.contains(['.', ':']) || first.starts_with('[');
    let path = if is_host { rest } else { image };
    if is_host && !host(first) {
        return at_image(format!("`{first}` is not a registry address"));
    }
    if let Some((_, extra)) = path.rsplit_once(':') {
        return at_image(format!("`{image}` carries a tag; write `tag: {extra}`"));
    }
    if path.is_empty() || !path.split('/').all(component) {
        let upper = image.chars().any(|c| c.is_ascii_uppercase());
        let why = if upper { ", names are lower case" } else { "" };
        return at_image(format!("`{image}` is not an image name{why}"));
    }
    if tag.is_empty() {
        return Ok(());
    }
    let valid = match tag.strip_prefix("sha256:") {
        Some(digest) => digest.len() == 64 && digest.chars().all(|c| c.is_ascii_hexdigit()),
        None => {
            tag.len() <= 128
                && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
        }
    };
    if valid { Ok(()) } else { Err(Fault::Tag(format!("`{tag}` is not an image tag or digest"))) }
}

fn host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let port_ok = port.is_none_or(|p| p.parse::<u16>().is_ok_and(|p| p > 0));
    let bracketed = name.starts_with('[') && name.ends_with(']');
    let plain = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    port_ok && (bracketed || plain)
}

/// A path component: lower-case letters and digits, parted by `.`, `_`, `__` or dashes.
fn component(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(alphanumeric)
        && text.ends_with(alphanumeric)
        && text.chars().all(|c| alphanumeric(c) || matches!(c, '.' | '_' | '-'))
        && !text.contains("..")
        && !text.contains("___")
}
