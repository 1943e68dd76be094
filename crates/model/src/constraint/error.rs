//! What is wrong with a rule of `placement`.

/// Why a text is not a constraint or an affinity. Columns count characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// Nothing was given.
    #[error("is empty; write for example `node.labels.zone==eu`")]
    Empty,
    /// No operator, or one that is not possible.
    #[error("column {column}: {}; {allowed}", operator(found, allowed))]
    Operator {
        /// Where it is, or should be.
        column: usize,
        /// The operator as given; empty when there is none.
        found: String,
        /// What is allowed.
        allowed: String,
    },
    /// Nothing before the operator.
    #[error("column {column}: an attribute is missing; write for example `node.labels.zone==eu`")]
    NoAttribute {
        /// Where it should be.
        column: usize,
    },
    /// Unknown attribute.
    #[error("column {column}: `{name}` is not an attribute; {hint}")]
    Attribute {
        /// Where it begins.
        column: usize,
        /// The attribute as given.
        name: String,
        /// What was probably meant, or what is allowed.
        hint: String,
    },
    /// `node.labels.` without a name.
    #[error("column {column}: the name of the label is missing")]
    NoLabel {
        /// Where it should be.
        column: usize,
    },
    /// Nothing after the operator.
    #[error("column {column}: a value is missing")]
    NoValue {
        /// Where it should be.
        column: usize,
    },
    /// A value the attribute cannot have.
    #[error("column {column}: `{value}`: {allowed}")]
    Value {
        /// Where it begins.
        column: usize,
        /// The value as given.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// An affinity to something that is neither an object nor a label.
    #[error("column {column}: {}; {hint}", target_text(target))]
    Target {
        /// Where it begins.
        column: usize,
        /// The target as given.
        target: String,
        /// What is allowed.
        hint: String,
    },
}

fn target_text(target: &str) -> String {
    match target {
        "" => "names nothing to be placed beside".to_owned(),
        target => format!("nothing can be placed beside `{target}`"),
    }
}

fn operator(found: &str, allowed: &str) -> String {
    match found {
        "" => "an operator is missing".to_owned(),
        found if allowed.starts_with("allowed") || allowed.starts_with("did you mean") => {
            format!("`{found}` is not an operator")
        }
        found => format!("`{found}` is not possible here"),
    }
}
