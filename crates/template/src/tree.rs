//! What is done to a parsed template before it runs: names are checked, calls are bound to their
//! position, and steps are counted.

use std::collections::BTreeSet;

use gotmpl::parse::{
    ActionNode, BranchNode, CommandNode, DefineNode, Expr, ListNode, Node, Number, PipeNode, Pos,
    SmolStr,
};

use crate::error::{ErrorKind, LookupError};
use crate::reference::Reference;

/// Function that counts a step and remembers the position. Cannot be written in a template.
pub(crate) const STEP: &str = "@step";
/// Variable that takes the result of [`STEP`], so that nothing is printed.
const STEP_RESULT: &str = "$@";
/// Functions that the engine evaluates lazily by their name.
const LAZY: [&str; 2] = ["and", "or"];
/// Functions of the engine that are not replaced: their arguments pass through a guard instead.
pub(crate) const BUILTINS: [&str; 15] = [
    "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "print",
    "println", "slice",
];

/// A function call of the template.
#[derive(Clone)]
pub(crate) struct Call {
    /// Name under which the engine knows this very call.
    pub(crate) bound: String,
    /// The function as written.
    pub(crate) function: String,
    /// Where it is written.
    pub(crate) offset: usize,
    /// True when the engine's own function does the work and this only inspects one argument.
    pub(crate) guard: bool,
}

/// Everything learned from the tree.
#[derive(Default)]
pub(crate) struct Facts {
    pub(crate) calls: Vec<Call>,
    /// Every key of every field chain with its offset, in text order.
    pub(crate) fields: Vec<(usize, String)>,
    pub(crate) lookups: BTreeSet<Reference>,
    pub(crate) variables: BTreeSet<String>,
}

/// A problem and its offset.
pub(crate) type Problem = (usize, Box<ErrorKind>);

/// Checks and rewrites a template and the templates it defines.
pub(crate) fn prepare(
    tree: &mut ListNode,
    defines: &mut [DefineNode],
    known: &dyn Fn(&str) -> Result<(), ErrorKind>,
) -> Result<Facts, Problem> {
    let names = defines.iter().map(|define| define.name.clone()).collect();
    let mut walker =
        Walker { facts: Facts::default(), names, known, scopes: Vec::new(), at_root: true };
    walker.body(tree)?;
    for define in defines {
        walker.at_root = false;
        walker.body(&mut define.body)?;
    }
    walker.facts.fields.sort();
    Ok(walker.facts)
}

struct Walker<'a> {
    facts: Facts,
    names: BTreeSet<SmolStr>,
    known: &'a dyn Fn(&str) -> Result<(), ErrorKind>,
    scopes: Vec<Vec<SmolStr>>,
    /// Whether `.` is the root value here.
    at_root: bool,
}

impl Walker<'_> {
    /// A body with a scope of its own that sees no outer variables.
    fn body(&mut self, list: &mut ListNode) -> Result<(), Problem> {
        self.scopes = vec![vec![SmolStr::new_static("$")]];
        self.list(list)
    }

    fn list(&mut self, list: &mut ListNode) -> Result<(), Problem> {
        let mut counted = Vec::with_capacity(list.nodes.len() * 2 + 1);
        counted.push(step(list.pos));
        for mut node in std::mem::take(&mut list.nodes) {
            if let Some(pos) = self.node(&mut node)? {
                counted.push(step(pos));
            }
            counted.push(node);
        }
        list.nodes = counted;
        Ok(())
    }

    /// Rewrites a node; its position if it does something.
    fn node(&mut self, node: &mut Node) -> Result<Option<Pos>, Problem> {
        match node {
            Node::Text(_) => return Ok(None),
            Node::List(list) => {
                self.list(list)?;
                return Ok(None);
            }
            Node::Action(action) => {
                self.pipe(&mut action.pipe)?;
                return Ok(Some(action.pos));
            }
            Node::If(branch) => {
                self.branch(branch, false)?;
                return Ok(Some(branch.pos));
            }
            Node::With(branch) | Node::Range(branch) => {
                self.branch(branch, true)?;
                return Ok(Some(branch.pos));
            }
            Node::Template(call) => {
                if !self.names.contains(&call.name) {
                    let name = call.name.to_string();
                    return Err((call.pos.offset, ErrorKind::UndefinedTemplate { name }.into()));
                }
                if let Some(pipe) = &mut call.pipe {
                    self.pipe(pipe)?;
                }
                return Ok(Some(call.pos));
            }
            Node::Define(_) | Node::Break(_) | Node::Continue(_) => {}
        }
        Ok(None)
    }

    fn branch(&mut self, branch: &mut BranchNode, moves_dot: bool) -> Result<(), Problem> {
        self.scopes.push(Vec::new());
        self.pipe(&mut branch.pipe)?;
        let at_root = self.at_root;
        self.scopes.push(Vec::new());
        self.at_root = at_root && !moves_dot;
        self.list(&mut branch.body)?;
        self.scopes.pop();
        self.at_root = at_root;
        if let Some(otherwise) = &mut branch.else_body {
            self.scopes.push(Vec::new());
            self.list(otherwise)?;
            self.scopes.pop();
        }
        self.scopes.pop();
        Ok(())
    }

    fn pipe(&mut self, pipe: &mut PipeNode) -> Result<(), Problem> {
        self.literal_lookups(pipe)?;
        let mut commands = Vec::with_capacity(pipe.commands.len());
        for mut command in std::mem::take(&mut pipe.commands) {
            let piped = !commands.is_empty();
            if let Some(guard) = self.command(&mut command, piped)? {
                commands.push(guard);
            }
            commands.push(command);
        }
        pipe.commands = commands;
        for name in &pipe.decl {
            if pipe.is_assign {
                self.declared(name, pipe.pos)?;
            } else if let Some(scope) = self.scopes.last_mut() {
                scope.push(name.clone());
            }
        }
        Ok(())
    }

    /// `lookup "..."` and `"..." | lookup`.
    fn literal_lookups(&mut self, pipe: &PipeNode) -> Result<(), Problem> {
        let mut piped: Option<&Expr> = None;
        for command in &pipe.commands {
            if let [Expr::Identifier(_, name), arguments @ ..] = command.args.as_slice()
                && name == "lookup"
                && let (Some(Expr::String(pos, text)), None) | (None, Some(Expr::String(pos, text))) =
                    (arguments.first(), piped)
            {
                let reference: Reference = text
                    .parse()
                    .map_err(|error: LookupError| (pos.offset, ErrorKind::Lookup(error).into()))?;
                match reference {
                    Reference::Runtime { key } => {
                        self.facts.variables.insert(key);
                    }
                    object @ Reference::Object { .. } => {
                        self.facts.lookups.insert(object);
                    }
                }
            }
            piped = match command.args.as_slice() {
                [only] => Some(only),
                _ => None,
            };
        }
        Ok(())
    }

    /// Rewrites a command; the guard for its piped argument if it needs one.
    fn command(
        &mut self,
        command: &mut CommandNode,
        piped: bool,
    ) -> Result<Option<CommandNode>, Problem> {
        let mut arguments = command.args.iter_mut();
        let Some(first) = arguments.next() else { return Ok(None) };
        let function = match first {
            Expr::Identifier(pos, name) => Some((*pos, name.to_string())),
            Expr::Chain(_, inner, _) => match inner.as_ref() {
                Expr::Identifier(pos, name) => Some((*pos, name.to_string())),
                _ => None,
            },
            _ => None,
        };
        self.expression(first)?;
        for argument in arguments {
            self.expression(argument)?;
        }
        let Some((pos, name)) = function else { return Ok(None) };
        if !BUILTINS.contains(&name.as_str()) {
            return Ok(None);
        }
        let bound = self.guard(&name, pos);
        for argument in command.args.iter_mut().skip(1) {
            let inner = std::mem::replace(argument, Expr::Nil(pos));
            let call = guard_command(pos, &bound, Some(inner));
            *argument = Expr::Pipe(
                pos,
                PipeNode { pos, decl: Vec::new(), commands: vec![call], is_assign: false },
            );
        }
        Ok(piped.then(|| guard_command(pos, &bound, None)))
    }

    fn guard(&mut self, function: &str, pos: Pos) -> String {
        let bound = format!("@guard@{}", pos.offset);
        self.facts.calls.push(Call {
            bound: bound.clone(),
            function: function.to_owned(),
            offset: pos.offset,
            guard: true,
        });
        bound
    }

    fn expression(&mut self, expression: &mut Expr) -> Result<(), Problem> {
        match expression {
            Expr::Identifier(pos, name) => {
                (self.known)(name).map_err(|kind| (pos.offset, kind.into()))?;
                if !LAZY.contains(&name.as_str()) && !BUILTINS.contains(&name.as_str()) {
                    let bound = format!("{name}@{}", pos.offset);
                    self.facts.calls.push(Call {
                        bound: bound.clone(),
                        function: name.to_string(),
                        offset: pos.offset,
                        guard: false,
                    });
                    *name = SmolStr::from(bound);
                }
            }
            Expr::Field(pos, fields) => {
                if self.at_root
                    && let Some(first) = fields.first()
                {
                    self.facts.variables.insert(first.to_string());
                }
                self.fields(*pos, fields);
            }
            Expr::Variable(pos, name, fields) => {
                self.declared(name, *pos)?;
                if name == "$"
                    && let Some(first) = fields.first()
                    && self.names.is_empty()
                {
                    self.facts.variables.insert(first.to_string());
                }
                self.fields(*pos, fields);
            }
            Expr::Pipe(_, pipe) => self.pipe(pipe)?,
            Expr::Chain(pos, inner, fields) => {
                self.fields(*pos, fields);
                self.expression(inner)?;
            }
            Expr::Dot(_) | Expr::String(..) | Expr::Number(..) | Expr::Bool(..) | Expr::Nil(_) => {}
        }
        Ok(())
    }

    fn fields(&mut self, pos: Pos, fields: &[SmolStr]) {
        self.facts.fields.extend(fields.iter().map(|field| (pos.offset, field.to_string())));
    }

    fn declared(&self, name: &SmolStr, pos: Pos) -> Result<(), Problem> {
        if self.scopes.iter().any(|scope| scope.contains(name)) {
            return Ok(());
        }
        Err((pos.offset, ErrorKind::UndeclaredVariable { name: name.to_string() }.into()))
    }
}

/// `$@ := @step <offset>`.
fn step(pos: Pos) -> Node {
    let offset = i64::try_from(pos.offset).unwrap_or(i64::MAX);
    Node::Action(ActionNode {
        pos,
        pipe: PipeNode {
            pos,
            decl: vec![SmolStr::new_static(STEP_RESULT)],
            commands: vec![CommandNode {
                pos,
                args: vec![
                    Expr::Identifier(pos, SmolStr::new_static(STEP)),
                    Expr::Number(pos, Number::Int(offset)),
                ],
            }],
            is_assign: false,
        },
    })
}

fn guard_command(pos: Pos, bound: &str, argument: Option<Expr>) -> CommandNode {
    let mut args = vec![Expr::Identifier(pos, SmolStr::from(bound))];
    args.extend(argument);
    CommandNode { pos, args }
}
