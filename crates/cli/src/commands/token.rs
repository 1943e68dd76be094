//! `token`: what lets other machines join.

use jiff::Timestamp;
use smr_wire::TokenCreate;

use super::{DONE, Outcome, patiently};
use crate::{
    args::{Output, TokenCommand, TokenCreateArgs},
    output::token_table,
    settings::Settings,
};

/// `token`.
pub(crate) async fn run(settings: &Settings, command: TokenCommand) -> Outcome {
    match command {
        TokenCommand::Create(args) => create(settings, args).await,
        TokenCommand::Ls(output) => list(settings, output.output).await,
        TokenCommand::Rm(args) => {
            let client = settings.client()?;
            let token = client.delete_token(&args.id).await?;
            settings.printer.line(format_args!("token removed: {}", token.id))?;
            Ok(DONE)
        }
    }
}

async fn create(settings: &Settings, args: TokenCreateArgs) -> Outcome {
    let wanted = TokenCreate {
        role: args.role.into(),
        uses: args.uses,
        ttl_seconds: args.ttl.0.as_secs(),
        description: args.description,
        endpoints: args.endpoints.iter().map(|url| endpoint(url)).collect(),
    };
    let client = settings.client()?;
    let created = patiently(settings, "making the token", client.create_token(&wanted)).await?;
    let printer = settings.printer;
    match args.output.output {
        Output::Json => printer.json(&created)?,
        Output::Yaml => printer.yaml(&created)?,
        Output::Name => printer.line(&created.info.id)?,
        Output::Table | Output::Wide => {
            printer.line(created.token.expose())?;
            if !args.quiet {
                printer.note(usage(created.info.role.as_str()));
            }
        }
    }
    Ok(DONE)
}

/// How the token is used on the other machine, without ever being an argument there.
fn usage(role: &str) -> String {
    format!(
        "\nto join as a {role}, on the other machine:\n  \
         (umask 077; cat > join-token)    # paste the token, Enter, Ctrl-D\n  \
         smr start --token-file join-token --domain NAME --listen 0.0.0.0:1443 \
         --cluster-listen 0.0.0.0:9212"
    )
}

/// As the API wants it: with a scheme.
fn endpoint(text: &str) -> String {
    if text.contains("://") { text.to_owned() } else { format!("https://{text}") }
}

async fn list(settings: &Settings, output: Output) -> Outcome {
    let client = settings.client()?;
    let list = client.tokens().await?;
    let printer = settings.printer;
    match output {
        Output::Json => printer.json(&list)?,
        Output::Yaml => printer.yaml(&list)?,
        Output::Name => printer.lines(list.items.iter().map(|token| &token.id))?,
        Output::Table | Output::Wide => {
            printer.table(&token_table(&list.items, Timestamp::now()))?;
        }
    }
    settings.note_stale(&client, None);
    Ok(DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_never_an_argument() {
        let text = usage("worker");
        assert_eq!(text.lines().count(), 4);
        assert!(text.contains("cat > join-token") && text.contains("--token-file join-token"));
        assert_eq!(endpoint("a.example.com:1443"), "https://a.example.com:1443");
        assert_eq!(endpoint("https://a:1"), "https://a:1");
    }
}
