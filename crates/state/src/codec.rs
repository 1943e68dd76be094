//! Versioned encoding of commands, for the log and the wire between members.

use crate::Command;

/// Version written by [`encode_commands`]; [`decode_commands`] reads it and every older one.
pub const COMMAND_VERSION: u8 = 1;

/// Bytes that are not commands this build understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// Written by a newer build.
    #[error("commands have format version `{found}`, this build reads up to `{supported}`")]
    Newer {
        /// Version found.
        found: u8,
        /// Newest version this build reads.
        supported: u8,
    },
    /// Not decodable.
    #[error("commands are damaged")]
    Damaged,
}

/// Encodes commands: one version byte, then their compact form.
pub fn encode_commands(commands: &[Command]) -> Vec<u8> {
    postcard::to_extend(commands, vec![COMMAND_VERSION])
        .expect("encoding into memory fails for no command")
}

/// Decodes what [`encode_commands`] made.
pub fn decode_commands(bytes: &[u8]) -> Result<Vec<Command>, CodecError> {
    match bytes.split_first() {
        Some((&COMMAND_VERSION, rest)) => {
            let (commands, left) =
                postcard::take_from_bytes(rest).map_err(|_| CodecError::Damaged)?;
            if left.is_empty() { Ok(commands) } else { Err(CodecError::Damaged) }
        }
        Some((&found, _)) if found > COMMAND_VERSION => {
            Err(CodecError::Newer { found, supported: COMMAND_VERSION })
        }
        _ => Err(CodecError::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CmpOp, Compare, Op, Txn};

    #[test]
    fn the_encoding_of_version_1_is_pinned() {
        let txn =
            Txn::new().when(Compare::mod_revision("/a", CmpOp::Equal, 7)).then(Op::put("/a", "x"));
        let bytes =
            encode_commands(&[Command::Txn(txn.clone()), Command::Compact { revision: 300 }]);
        assert_eq!(
            bytes,
            [1, 2, 0, 1, 0, 2, 47, 97, 0, 2, 7, 1, 0, 2, 47, 97, 1, 120, 0, 0, 0, 0, 0, 5, 172, 2]
        );
        assert_eq!(
            decode_commands(&bytes).unwrap(),
            [Command::Txn(txn), Command::Compact { revision: 300 }]
        );
    }

    #[test]
    fn newer_and_damaged_bytes_are_told_apart() {
        assert_eq!(decode_commands(&[9, 0]), Err(CodecError::Newer { found: 9, supported: 1 }));
        for bytes in [&[][..], &[0], &[1], &[1, 1, 99], &[1, 0, 0]] {
            assert_eq!(decode_commands(bytes), Err(CodecError::Damaged), "{bytes:?}");
        }
    }
}
