//! What is said before a recovery, and when it is refused.

use super::*;
use crate::hooks::SurveyedMember;

fn survey(voters: &[u64], last: u64) -> Survey {
    let member = |id: &u64| SurveyedMember { id: *id, address: format!("10.0.0.{id}:9212") };
    Survey {
        id: 1,
        name: "n1".into(),
        cluster: "c".into(),
        epoch: 3,
        term: 5,
        last_log_term: 4,
        last_log_index: last,
        committed_index: last - 2,
        voters: voters.to_vec(),
        members: voters.iter().map(member).collect(),
    }
}

fn silent(id: u64) -> Asked {
    let address = format!("https://10.0.0.{id}:1443");
    Asked { id: Some(id), address, answer: Answer::Silent("connection refused".into()) }
}

fn runs(id: u64, cluster: &str, applied: u64) -> Asked {
    let answer = Answer::Has {
        cluster: cluster.into(),
        name: format!("n{id}"),
        term: 5,
        applied,
        revision: 40,
    };
    Asked { answer, ..silent(id) }
}

#[test]
fn a_cluster_that_could_go_on_is_left_to_itself() {
    let refusal = |voters: &[u64], asked: &[Asked]| verdict(&survey(voters, 90), asked).refusal;
    assert!(refusal(&[1, 2, 3], &[silent(2), silent(3)]).is_none());
    let majority = refusal(&[1, 2, 3], &[runs(2, "c", 80), runs(3, "c", 80)]).unwrap();
    assert!(majority.starts_with("2 of 3 voters answer, the quorum is not lost"), "{majority}");
    let with_me = refusal(&[1, 2, 3], &[runs(2, "c", 80), silent(3)]).unwrap();
    assert!(with_me.starts_with("with 1 voter that answers, it is a majority"), "{with_me}");
    let only = refusal(&[1], &[]).unwrap();
    assert!(only.starts_with("it is the only voter"), "{only}");
    // Whoever has the address now is not who was lost.
    assert!(refusal(&[1, 2, 3], &[runs(2, "other", 80), silent(3)]).is_none());
    // A worker that answers has no vote.
    assert!(refusal(&[1, 2, 3], &[silent(2), silent(3), runs(4, "c", 80)]).is_none());
}

#[test]
fn what_can_be_lost_and_who_has_more_is_said() {
    let five = survey(&[1, 2, 3, 4, 5], 90);
    let asked = [runs(2, "c", 95), silent(3), silent(4), silent(5)];
    let told = verdict(&five, &asked);
    let text = told.lines.join("\n");
    assert!(text.contains("5 voters, 3 have to agree; 1 answers besides this node."), "{text}");
    assert!(text.contains("known: n2, which has entry 95; this node ends at 90."), "{text}");
    assert!(text.contains("if 3, 4, 5 had them"), "{text}");
    assert!(text.contains("2 entries after entry 88"), "{text}");
    assert!(told.refusal.unwrap().starts_with("n2 has more than this node"));
}

#[test]
fn the_table_names_who_cannot_be_asked() {
    let text = table(&survey(&[1, 2, 3], 90), &[runs(2, "c", 95), silent(3)]).render(false);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.iter().any(|line| line.contains("stopped, this node, started 3 times")));
    assert!(lines.iter().any(|line| line.contains("n2") && line.contains("95 or more")));
    assert!(lines.iter().any(|line| line.contains("cannot be asked: connection refused")));
}
