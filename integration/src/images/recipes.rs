//! What is in each image.

/// A small image: which packages, which files of them, and what is added.
#[derive(Debug)]
pub struct Recipe {
    /// Name of the image, without repository and tag.
    pub name: &'static str,
    /// Debian packages to unpack, with all they depend on.
    pub packages: &'static [&'static str],
    /// Files and folders to keep, relative to the root; `*` stands for any part of a name. The libraries
    /// of programs come along by themselves.
    pub files: &'static [&'static str],
    /// Programs to link into `/usr/local/bin`, with the same pattern language.
    pub links: &'static [&'static str],
    /// Files of our own: path, whether it is a program, text. A path ending in `/` is an empty folder.
    pub own: &'static [(&'static str, bool, &'static str)],
    /// Dockerfile lines.
    pub changes: &'static [&'static str],
}

impl Recipe {
    /// Changes whenever anything in the recipe does.
    pub fn stamp(&self) -> String {
        // FNV-1a: no need to resist anyone, only to notice edits.
        let hash = format!("1 {self:?}").bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

/// Every image of the examples and tests. All contain busybox, with links for its applets.
pub const RECIPES: &[Recipe] = &[
    Recipe {
        name: "busybox",
        packages: &["busybox"],
        files: &[],
        links: &[],
        own: &[],
        changes: &["CMD [\"sh\"]"],
    },
    Recipe {
        name: "nginx",
        packages: &["busybox", "nginx-light"],
        files: &["usr/sbin/nginx", "etc/nginx/mime.types", "etc/nginx/fastcgi_params"],
        links: &[],
        own: &[
            ("etc/nginx/nginx.conf", false, include_str!("nginx.conf")),
            ("usr/share/nginx/html/index.html", false, "it works\n"),
            (
                "etc/nginx/conf.d/default.conf",
                false,
                "server { listen 80; root /usr/share/nginx/html; }\n",
            ),
            ("var/lib/nginx/", false, ""),
            ("var/log/nginx/", false, ""),
        ],
        changes: &["CMD [\"nginx\", \"-g\", \"daemon off;\"]", "EXPOSE 80"],
    },
    Recipe {
        name: "redis",
        packages: &["busybox", "redis-server", "redis-tools"],
        files: &["usr/bin/redis-server", "usr/bin/redis-cli"],
        links: &[],
        own: &[],
        changes: &[
            "CMD [\"redis-server\", \"--save\", \"\", \"--protected-mode\", \"no\"]",
            "EXPOSE 6379",
        ],
    },
    Recipe {
        name: "postgres",
        packages: &["busybox", "postgresql", "util-linux", "tzdata"],
        files: &[
            "usr/bin/setpriv",
            "usr/lib/postgresql/*/bin/postgres",
            "usr/lib/postgresql/*/bin/initdb",
            "usr/lib/postgresql/*/bin/psql",
            "usr/lib/postgresql/*/bin/pg_isready",
            "usr/lib/postgresql/*/lib/plpgsql.so",
            "usr/lib/postgresql/*/lib/dict_snowball.so",
            "usr/share/postgresql",
            "usr/share/zoneinfo",
        ],
        links: &["usr/lib/postgresql/*/bin/*"],
        own: &[
            ("usr/local/bin/entrypoint", true, include_str!("postgres-entrypoint.sh")),
            ("etc/passwd", false, "root:x:0:0::/root:/bin/sh\npostgres:x:70:70::/:/bin/sh\n"),
            ("etc/group", false, "root:x:0:\npostgres:x:70:\n"),
            ("initdb/", false, ""),
        ],
        changes: &[
            "ENV PAGER=cat",
            "ENTRYPOINT [\"/usr/local/bin/entrypoint\"]",
            "CMD [\"postgres\"]",
            "EXPOSE 5432",
        ],
    },
    Recipe {
        name: "app",
        packages: &["busybox", "postgresql-client", "redis-tools"],
        files: &["usr/lib/postgresql/*/bin/psql", "usr/bin/redis-cli"],
        links: &["usr/lib/postgresql/*/bin/psql"],
        own: &[("www/cgi-bin/", false, "")],
        changes: &[
            "ENV PAGER=cat",
            "CMD [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]",
            "EXPOSE 8080",
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_recipe_has_a_name_and_a_stamp_of_its_own() {
        let names: BTreeSet<_> = RECIPES.iter().map(|recipe| recipe.name).collect();
        let stamps: BTreeSet<_> = RECIPES.iter().map(Recipe::stamp).collect();
        assert_eq!((names.len(), stamps.len()), (RECIPES.len(), RECIPES.len()));
    }
}
