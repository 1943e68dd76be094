//! Packs and files, rendered without a cluster.

use crate::run::Place;

const WEB: &str = "kind: containers\nmeta: {group: shop, name: web}\nspec:\n  image: nginx\n  tag: {{ .web.tag }}\n  envs: [\"A=(( .x ))\"]\n";

fn pack() -> Place {
    let place = Place::new();
    place
        .file("pack/Pack.yaml", "name: shop\nversion: 0.0.1\n")
        .file("pack/definitions/variables.yaml", "Web:\n  Tag: \"1.27\"\n")
        .file("pack/definitions/b.yaml", WEB)
        .file(
            "pack/definitions/a.yaml",
            "---\nkind: configuration\nmeta: {group: shop, name: c}\nspec: {data: {z: 1, a: b}}\n",
        )
        .file("pack/definitions/ignored.yml", "nonsense")
        .file("pack/README.md", "nonsense");
    place
}

#[test]
fn a_pack_is_rendered_in_the_order_of_its_files() {
    insta::assert_snapshot!(pack().transcript(&[
        &["smrctl", "template", "pack"],
        &["smrctl", "template", "pack", "--set", "web.tag=2 "],
    ]));
}

#[test]
fn what_is_wrong_with_packs_and_files_is_said_with_its_place() {
    let place = pack();
    place
        .file("no-definitions/Pack.yaml", "name: x")
        .file("no-pack/definitions/a.yaml", "kind: secret")
        .file("unset/Pack.yaml", "")
        .file("unset/definitions/a.yaml", "a: 1\nb: {{ .nothing.at.all }}\n")
        .file("syntax/Pack.yaml", "")
        .file("syntax/definitions/a.yaml", "a: {{ if }}\n")
        .file("list/Pack.yaml", "")
        .file("list/definitions/variables.yaml", "- a\n")
        .file("list/definitions/a.yaml", "")
        .file("wrong.yaml", "kind: containers\nmeta: {group: a, name: b}\nspec: {replicas: many}\n")
        .file("kind.yaml", "kind: container5\nmeta: {group: a, name: b}\n")
        .file("yaml.yaml", "kind: [\n")
        .file("nothing/readme.txt", "");
    let lines: &[&[&str]] = &[
        &["smrctl", "template", "missing"],
        &["smrctl", "template", "no-definitions"],
        &["smrctl", "template", "no-pack"],
        &["smrctl", "template", "unset"],
        &["smrctl", "template", "syntax"],
        &["smrctl", "template", "list"],
        &["smrctl", "template", "wrong.yaml"],
        &["smrctl", "template", "kind.yaml"],
        &["smrctl", "template", "yaml.yaml"],
        &["smrctl", "template", "nothing"],
        &["smrctl", "template", "pack", "--set", "web"],
    ];
    for line in lines {
        assert_ne!(place.run(line).code, 0, "{line:?}");
    }
    insta::assert_snapshot!(place.transcript(lines));
}

#[test]
fn files_and_plain_directories_are_taken_as_they_are() {
    let place = Place::new();
    place
        .file("plain/b.yml", "kind: custom\nmeta: {group: a, name: b}\nspec: {x: \"{{ .y }}\"}\n")
        .file(
            "plain/a.json",
            r#"{"kind": "custom", "meta": {"group": "a", "name": "a"}, "spec": {}}"#,
        )
        .file("plain/notes.txt", "nonsense");
    insta::assert_snapshot!(place.transcript(&[
        &["smrctl", "template", "plain"],
        &["smrctl", "template", "plain/b.yml", "plain/a.json"],
    ]));
}
