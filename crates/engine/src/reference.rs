//! Image references and names, as far as requests need them taken apart and checked.

/// A reference split the way the pull call wants it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ImageReference<'a> {
    /// Repository with registry host, if it names one.
    pub(crate) repository: &'a str,
    /// Tag or digest; `latest` when not given.
    pub(crate) version: &'a str,
}

impl<'a> ImageReference<'a> {
    pub(crate) fn parse(reference: &'a str) -> Self {
        if let Some((repository, digest)) = reference.split_once('@') {
            // A tag beside a digest says nothing more.
            let repository = match repository.rsplit_once(':') {
                Some((name, tag)) if !tag.contains('/') => name,
                _ => repository,
            };
            return Self { repository, version: digest };
        }
        match reference.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => Self { repository, version: tag },
            _ => Self { repository: reference, version: "latest" },
        }
    }

    /// The registry as credentials name it: host and port, or Docker Hub's historical address.
    pub(crate) fn registry(&self) -> &'a str {
        const HUB: &str = "https://index.docker.io/v1/";
        match self.repository.split_once('/') {
            Some(("docker.io" | "index.docker.io", _)) => HUB,
            Some((host, _)) if host == "localhost" || host.contains(['.', ':']) => host,
            _ => HUB,
        }
    }
}

/// Whether a text may stand in a request path as an image reference.
pub(crate) fn is_image_reference(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/:@+".contains(c);
    !text.is_empty()
        && text.len() <= 512
        && text.chars().all(allowed)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !text.split('/').any(|part| part.is_empty() || part == "." || part == "..")
}

/// Whether a text may stand in a request path as an id or name.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !text.is_empty()
        && text.len() <= 255
        && text.chars().all(allowed)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(reference: &str) -> (&str, &str, &str) {
        let parsed = ImageReference::parse(reference);
        (parsed.repository, parsed.version, parsed.registry())
    }

    #[test]
    fn references_are_split_at_the_tag_and_not_at_the_port() {
        let hub = "https://index.docker.io/v1/";
        assert_eq!(split("nginx"), ("nginx", "latest", hub));
        assert_eq!(split("nginx:1.25"), ("nginx", "1.25", hub));
        assert_eq!(split("team/app:2"), ("team/app", "2", hub));
        assert_eq!(split("docker.io/team/app:2"), ("docker.io/team/app", "2", hub));
        assert_eq!(split("reg.local:5000/app"), ("reg.local:5000/app", "latest", "reg.local:5000"));
        assert_eq!(split("localhost/app:1"), ("localhost/app", "1", "localhost"));
        assert_eq!(split("r.io/a:1@sha256:ab"), ("r.io/a", "sha256:ab", "r.io"));
        assert_eq!(split("r.io:5/a@sha256:ab"), ("r.io:5/a", "sha256:ab", "r.io:5"));
    }

    #[test]
    fn texts_that_would_change_the_request_are_not_names() {
        assert!(is_name("a-b_1.x") && is_image_reference("r:5000/a/b:1@sha256:00"));
        for text in ["", "../x", "a/b", "a?b", "a b", "-a"] {
            assert!(!is_name(text), "{text}");
        }
        for text in ["", "a/../b", "a?x", "a#b", "a//b", "/a"] {
            assert!(!is_image_reference(text), "{text}");
        }
    }
}
