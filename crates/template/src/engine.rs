//! Parses and executes templates within a budget.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gotmpl::parse::{DefineNode, ListNode, Parser};
use gotmpl::{MissingKey, Template, TemplateError, Value};

use crate::error::{Error, ErrorKind, LookupError};
use crate::functions::{self, Environment, Failure};
use crate::reference::Reference;
use crate::scan::{Scanned, position};
use crate::tree::{self, Call, Facts, Problem};
use crate::{Checked, Context, Lookup, Rendered, value};

/// Largest rendered text in bytes.
pub const MAX_OUTPUT: usize = 8 << 20;
/// Most objects that one text may look up under computed names.
pub const MAX_LOOKUPS: usize = 256;

/// Work that one rendering may do: bytes that functions read and build, plus [`STEP_COST`] per step.
const FUEL: u64 = 64 << 20;
/// Cost of executing one expression or calling one function.
const STEP_COST: u64 = 64;
/// Cost of an item of a list or dict that a function returns: about the memory it takes.
const ITEM_COST: u64 = 64;
/// Name of the top-level template; cannot clash with one that the text defines.
const MAIN: &str = "@main";

/// A template that may be executed.
pub(crate) struct Parsed {
    tree: ListNode,
    defines: Vec<DefineNode>,
    facts: Facts,
    /// What [`crate::check`] reports.
    pub(crate) checked: Checked,
}

/// Parses and validates a scanned text.
pub(crate) fn parse(text: &str, scanned: &Scanned, lookup_allowed: bool) -> Result<Parsed, Error> {
    // The parser indexes its tokens; our scan rejects what is known to confuse it, and a panic that
    // is left becomes a syntax error instead of taking the node down.
    let parsed =
        catch_unwind(|| Parser::new(&scanned.source, &scanned.left, &scanned.right)?.parse())
            .unwrap_or_else(|_| Err(TemplateError::Exec("the expression cannot be parsed".into())));
    let (mut tree, mut defines) = parsed.map_err(|error| syntax_error(&error, scanned))?;
    check_names(&defines, text)?;
    let facts = tree::prepare(&mut tree, &mut defines, &|name| known(name, lookup_allowed))
        .map_err(|problem| at(text, problem))?;
    let checked = Checked { lookups: facts.lookups.clone(), variables: facts.variables.clone() };
    Ok(Parsed { tree, defines, facts, checked })
}

fn at(text: &str, (offset, kind): Problem) -> Error {
    let (line, column) = position(text, offset);
    Error::new(line, column, kind)
}

/// The parser's message with the delimiters as the user wrote them.
fn syntax_error(error: &TemplateError, scanned: &Scanned) -> Error {
    let (line, column, message) = match error {
        TemplateError::Parse { line, col, message, .. }
        | TemplateError::Lex { line, col, message, .. } => (*line, *col, message.clone()),
        other => (1, 1, other.to_string()),
    };
    let message = [(&scanned.left, scanned.written.0), (&scanned.right, scanned.written.1)]
        .into_iter()
        .fold(message, |message, (stand_in, written)| {
            message
                .replace(&stand_in.escape_debug().to_string(), written)
                .replace(stand_in.as_str(), written)
        });
    Error::new(line.max(1), column.max(1), ErrorKind::Syntax { message })
}

fn check_names(defines: &[DefineNode], text: &str) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    for define in defines {
        if !names.insert(&define.name) {
            let message = format!("template `{}` is defined twice", define.name);
            return Err(at(text, (define.pos.offset, ErrorKind::Syntax { message }.into())));
        }
    }
    Ok(())
}

fn known(name: &str, lookup_allowed: bool) -> Result<(), ErrorKind> {
    let engine = tree::BUILTINS.iter().copied().chain(["and", "or"]);
    let own = functions::all().map(|function| function.name);
    if engine.clone().any(|known| known == name)
        || functions::find(name).is_some()
        || (name == "lookup" && lookup_allowed)
    {
        return Ok(());
    }
    let hint = if name == "lookup" {
        ": `lookup` works in objects, between `((` and `))`".to_owned()
    } else {
        let wanted = name.to_lowercase();
        engine
            .chain(own)
            .map(|known| (strsim::osa_distance(&known.to_lowercase(), &wanted), known))
            .min_by_key(|(distance, _)| *distance)
            .filter(|(distance, _)| *distance <= 2)
            .map(|(_, known)| format!(": did you mean `{known}`?"))
            .unwrap_or_default()
    };
    Err(ErrorKind::UnknownFunction { name: name.to_owned(), hint })
}

/// Executes a scanned text.
pub(crate) fn render(
    text: &str,
    scanned: &Scanned,
    context: &Context<'_>,
) -> Result<Rendered, Error> {
    let Parsed { tree, defines, facts, .. } = parse(text, scanned, context.lookup.is_some())?;
    let root = value::root(context.variables);
    let run = Arc::new(Run {
        environment: Environment { now: context.now },
        root: root.clone(),
        state: Mutex::new(State { fuel: FUEL, ..State::default() }),
    });
    if let Some(lookup) = context.lookup {
        for reference in &facts.lookups {
            run.resolve(lookup, reference);
        }
    }
    let template = assemble(tree, defines, &facts, &run);
    // The engine's functions must be free to outlive the context, so they cannot hold `lookup`.
    // A computed reference therefore stops the execution, is resolved here, and the template,
    // which is deterministic, starts again.
    for _ in 0..=MAX_LOOKUPS {
        let mut output = Output::default();
        // The engine catches panics of functions only; the rest is contained here, see `parse`.
        let result = catch_unwind(AssertUnwindSafe(|| {
            template.execute_template_fmt(&mut output, MAIN, &root)
        }))
        .unwrap_or_else(|_| Err(TemplateError::Exec(String::new())));
        let mut state = run.state();
        match (result, state.wanted.take(), context.lookup) {
            (Ok(()), ..) => {
                let lookups = std::mem::take(&mut state.used);
                return Ok(Rendered { text: output.text, lookups });
            }
            (Err(_), Some(reference), Some(lookup)) => {
                state.failure = None;
                drop(state);
                run.resolve(lookup, &reference);
            }
            (Err(error), ..) => {
                let problem = state
                    .failure
                    .take()
                    .unwrap_or_else(|| explain(&error, &state, &facts, output.full));
                return Err(at(text, problem));
            }
        }
    }
    let message = format!("more than {MAX_LOOKUPS} computed lookups");
    Err(at(text, (run.state().position, ErrorKind::Budget { message }.into())))
}

/// Binds every call of the tree to a closure that knows its position.
fn assemble(tree: ListNode, defines: Vec<DefineNode>, facts: &Facts, run: &Arc<Run>) -> Template {
    let mut template = Template::new("text").missing_key(MissingKey::Error).max_range_iters(0);
    let stepper = Arc::clone(run);
    template = template.func(tree::STEP, move |arguments| {
        if let Some(Value::Int(offset)) = arguments.first() {
            stepper.state().position = usize::try_from(*offset).unwrap_or_default();
        }
        stepper.spend(STEP_COST).map(|()| Value::Nil)
    });
    for call in &facts.calls {
        let run = Arc::clone(run);
        let bound = call.bound.clone();
        let call = call.clone();
        template = template.func(&bound, move |arguments| run.call(&call, arguments));
    }
    for define in defines {
        template = template.add_parse_tree(&define.name, define.body);
    }
    template.add_parse_tree(MAIN, tree)
}

/// What is shared between the calls of one rendering.
struct Run {
    environment: Environment,
    root: Value,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Offset of what is being executed.
    position: usize,
    fuel: u64,
    /// The failure behind the error that the engine reports.
    failure: Option<Problem>,
    /// A computed reference that has to be resolved before starting again.
    wanted: Option<Reference>,
    resolved: BTreeMap<Reference, Result<String, LookupError>>,
    used: BTreeSet<Reference>,
}

impl Run {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resolve(&self, lookup: &dyn Lookup, reference: &Reference) {
        let result = lookup.lookup(reference);
        self.state().resolved.insert(reference.clone(), result);
    }

    /// Remembers the failure; the engine's error only carries it out.
    fn fail(&self, kind: ErrorKind) -> TemplateError {
        let mut state = self.state();
        let position = state.position;
        state.failure.get_or_insert((position, kind.into()));
        TemplateError::Exec(String::new())
    }

    fn spend(&self, cost: u64) -> Result<(), TemplateError> {
        let mut state = self.state();
        match state.fuel.checked_sub(cost) {
            Some(fuel) => {
                state.fuel = fuel;
                Ok(())
            }
            None => {
                drop(state);
                let message = "it takes too many steps or handles too much data".to_owned();
                Err(self.fail(ErrorKind::Budget { message }))
            }
        }
    }

    fn call(&self, call: &Call, arguments: &[Value]) -> Result<Value, TemplateError> {
        self.state().position = call.offset;
        let fuel = self.state().fuel;
        let size: Option<u64> = arguments.iter().try_fold(STEP_COST, |sum, argument| {
            value::size(argument, fuel).map(|size| sum + size)
        });
        self.spend(size.unwrap_or(u64::MAX))?;
        if call.guard {
            return Ok(arguments.first().cloned().unwrap_or(Value::Nil));
        }
        if call.function == "lookup" {
            return self.lookup(arguments);
        }
        let Some(function) = functions::find(&call.function) else {
            let (name, hint) = (call.function.clone(), String::new());
            return Err(self.fail(ErrorKind::UnknownFunction { name, hint }));
        };
        if arguments.len() < function.least || arguments.len() > function.most {
            return Err(self.bad_argument(function.name, arity(function, arguments.len())));
        }
        if function.quadratic {
            let longest = arguments.iter().filter_map(Value::as_str).map(str::len).max();
            self.spend((longest.unwrap_or_default() as u64).pow(2) / 128)?;
        }
        let result =
            (function.run)(&self.environment, arguments).map_err(|failure| match failure {
                Failure::Argument(message) => self.bad_argument(function.name, message),
                Failure::TooLarge => self.fail(ErrorKind::Budget {
                    message: format!("the result of `{}` is too large", function.name),
                }),
            })?;
        self.spend(match &result {
            Value::String(text) => text.len() as u64,
            Value::List(items) => items.len() as u64 * ITEM_COST,
            Value::Map(entries) => entries.len() as u64 * ITEM_COST,
            _ => 0,
        })?;
        Ok(result)
    }

    fn bad_argument(&self, function: &str, message: String) -> TemplateError {
        self.fail(ErrorKind::BadArgument { function: function.to_owned(), message })
    }

    fn lookup(&self, arguments: &[Value]) -> Result<Value, TemplateError> {
        let [Value::String(text)] = arguments else {
            return Err(self.bad_argument("lookup", "takes exactly one string".to_owned()));
        };
        let reference: Reference =
            text.parse().map_err(|error: LookupError| self.fail(anonymous(error).into()))?;
        if let Reference::Runtime { key } = &reference {
            return self.root.field(key).cloned().ok_or_else(|| {
                self.fail(LookupError::MissingKey { reference: reference.clone() }.into())
            });
        }
        let mut state = self.state();
        let result = state.resolved.get(&reference).cloned();
        match result {
            None => {
                state.wanted = Some(reference);
                Err(TemplateError::Exec(String::new()))
            }
            Some(Err(error)) => {
                drop(state);
                Err(self.fail(error.into()))
            }
            Some(Ok(text)) => {
                state.used.insert(reference);
                drop(state);
                self.spend(text.len() as u64)?;
                Ok(Value::from(text))
            }
        }
    }
}

/// The error without the text that is not a reference. Literal references were checked before, so
/// the text was computed and may be a value.
fn anonymous(error: LookupError) -> LookupError {
    let computed = || "(computed)".to_owned();
    match error {
        LookupError::Invalid { reason, .. } => LookupError::Invalid { text: computed(), reason },
        LookupError::Unsupported { .. } => LookupError::Unsupported { text: computed() },
        other => other,
    }
}

fn arity(function: &functions::Function, got: usize) -> String {
    let (least, most) = (function.least, function.most);
    if least == most {
        format!("takes {least} arguments, not {got}")
    } else if got < least {
        format!("takes at least {least} arguments, not {got}")
    } else {
        format!("takes at most {most} arguments, not {got}")
    }
}

/// Turns an error of the engine into ours. Its free-form messages may quote values, so only those
/// that are known not to are passed on.
fn explain(error: &TemplateError, state: &State, facts: &Facts, full: bool) -> Problem {
    const SAFE: [&str; 13] = [
        "incompatible types for comparison",
        "non-comparable type",
        "invalid type for comparison",
        "cannot index",
        "index of untyped nil",
        "slice: cannot",
        "slice: index not on",
        "slice: index must be integer",
        "can't give argument to non-function",
        "nil is not a command",
        "can't evaluate field",
        "call of nil",
        "call: non-function",
    ];
    let position = state.position;
    let evaluation = |message: String| (position, ErrorKind::Evaluation { message }.into());
    match error {
        TemplateError::Write if full => {
            let message = format!("the result is larger than {MAX_OUTPUT} bytes");
            (position, ErrorKind::Budget { message }.into())
        }
        TemplateError::MissingKey { key } => {
            let found = facts
                .fields
                .iter()
                .find(|(offset, field)| *offset >= position && field == key)
                .or_else(|| facts.fields.iter().find(|(_, field)| field == key));
            let offset = found.map_or(position, |(offset, _)| *offset);
            (offset, ErrorKind::MissingKey { key: key.clone() }.into())
        }
        TemplateError::RecursionLimit => {
            let message = "templates call each other too deep".to_owned();
            (position, ErrorKind::Budget { message }.into())
        }
        TemplateError::ArgCount { name, expected, got } => {
            let message = format!("takes at least {expected} arguments, not {got}");
            (position, ErrorKind::BadArgument { function: name.clone(), message }.into())
        }
        TemplateError::IndexOutOfRange { .. } => evaluation("index out of range".to_owned()),
        TemplateError::TypeMismatch { expected, got } => {
            evaluation(format!("expected {expected}, got {got}"))
        }
        TemplateError::NotIterable(kind) => evaluation(format!("cannot range over {kind}")),
        TemplateError::Exec(message) if SAFE.iter().any(|safe| message.starts_with(safe)) => {
            evaluation(message.clone())
        }
        _ => evaluation("the operation does not fit its arguments".to_owned()),
    }
}

/// The rendered text, up to [`MAX_OUTPUT`].
#[derive(Default)]
struct Output {
    text: String,
    full: bool,
}

impl fmt::Write for Output {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if self.text.len() + part.len() > MAX_OUTPUT {
            self.full = true;
            return Err(fmt::Error);
        }
        self.text.push_str(part);
        Ok(())
    }
}
