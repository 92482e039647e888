//! Messages about scripts that do not compile or fail: file, line, column, error and reason.
use std::path::Path;
use std::sync::Arc;

use rhai::{EvalAltResult, LexError, ParseError, ParseErrorType, Position};

use crate::error::{Error, ErrorKind, Problem};
use crate::policy::script::limits::Limits;
use crate::policy::script::run::{Full, Stop};

/// The longest message in characters; the rest is cut. A script may throw any text.
const MAX_MESSAGE: usize = 300;
/// The longest source line in a message, in characters; the rest is cut.
const MAX_LINE: usize = 120;

/// The file of a policy.
pub(super) struct Source {
    name: Arc<str>,
    path: String,
    text: String,
    modules: Modules,
}

/// The files of the modules that a policy may import, each with its import name.
pub(super) type Modules = Arc<[(String, Source)]>;

impl Source {
    pub(super) fn new(path: &Path, text: &str) -> Self {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Self {
            name: name.into(),
            path: path.display().to_string(),
            text: text.to_owned(),
            modules: Arc::default(),
        }
    }

    pub(super) fn importing(self, modules: &Modules) -> Self {
        Self { modules: Arc::clone(modules), ..self }
    }

    /// Returns the names of the modules that the policy may import.
    pub(super) fn modules(&self) -> impl Iterator<Item = &str> {
        self.modules.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Returns the file of an error: a module, or the policy itself.
    fn file(&self, path: Option<&str>) -> &Self {
        let mut modules = self.modules.iter().map(|(_, module)| module);
        modules.find(|module| Some(module.path.as_str()) == path).unwrap_or(self)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn shared_name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns whether the script contains the text, plainly or as written between quotes.
    fn says(&self, text: &str) -> bool {
        let escaped = || text.replace('\\', "\\\\").replace('"', "\\\"");
        let is_in = |source: &Self| source.text.contains(text) || source.text.contains(&escaped());
        !text.is_empty() && (is_in(self) || self.modules.iter().any(|(_, module)| is_in(module)))
    }

    /// Returns a problem at a position, with the source line.
    pub(super) fn problem(&self, at: Position, message: &str) -> Problem {
        let message = match self.line(at) {
            Some(line) => format!("{message} in `{}`", cut(line.trim(), MAX_LINE)),
            None => message.to_owned(),
        };
        Problem::new(self.place(at), message)
    }

    /// Returns the place, such as `policies/cap.rhai:3:7`, as far as it is known.
    pub(super) fn place(&self, at: Position) -> String {
        match (at.line(), at.position()) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}", self.path),
            (Some(line), None) => format!("{}:{line}", self.path),
            _ => self.path.clone(),
        }
    }

    fn line(&self, at: Position) -> Option<&str> {
        self.text.lines().nth(at.line()?.checked_sub(1)?)
    }

    /// Returns the source line with a caret below the position, for the log.
    fn excerpt(&self, at: Position) -> Option<String> {
        let line = cut(self.line(at)?, MAX_LINE);
        let column = at.position()?.saturating_sub(1);
        let blank: String =
            line.chars().take(column).map(|c| if c == '\t' { c } else { ' ' }).collect();
        Some(format!("{line}\n{blank}^"))
    }
}

/// Returns the problem of a script that does not parse.
pub(super) fn unparsable(error: &ParseError, source: &Source) -> Problem {
    let message = match error.err_type() {
        ParseErrorType::Reserved(word) if word == "export" => {
            "`export` is not available in policies: all functions and constants of a module can be used".to_owned()
        }
        ParseErrorType::ModuleUndefined(name) => {
            format!("no module is imported as `{name}`: write `import \"lib/{name}\" as {name};`")
        }
        ParseErrorType::BadInput(LexError::ImproperSymbol(word, _)) if word == "eval" => {
            "`eval` is not available in policies".to_owned()
        }
        ParseErrorType::Reserved(word) => format!("`{word}` is not available in policies"),
        ParseErrorType::VariableUndefined(name) => format!("no variable is named `{name}`"),
        other => lower(&other.to_string()),
    };
    source.problem(error.position(), &cut(&message, MAX_MESSAGE))
}

/// Returns the error of a script that fails at run time. The caller reads the place and the reason. The
/// source line goes to the log only, because it may contain data for operators only.
pub(super) fn broken(error: &EvalAltResult, source: &Source, limits: &Limits) -> Error {
    let cause = Cause::of(error);
    let file = source.file(cause.file);
    let mut message = format!("policy \"{}\" failed at {}: ", source.name, file.place(cause.at));
    message.push_str(&cut(&reason(cause.error, source, limits), MAX_MESSAGE));
    for (function, at) in &cause.calls {
        if let Some(line) = at.line() {
            // Rhai generates the names of closures
            let name = match function.starts_with("anon$") {
                true => "a closure".to_owned(),
                false => format!("`{function}`"),
            };
            message.push_str(&format!(", in {name}, called at line {line}"));
        }
    }
    let error = Error::new(ErrorKind::Api, message);
    match file.excerpt(cause.at) {
        Some(excerpt) => error.with_source(excerpt),
        None => error,
    }
}

/// The innermost error, its position, and the calls that led to it.
struct Cause<'a> {
    error: &'a EvalAltResult,
    at: Position,
    /// The path of the file that contains `at`, if it is known.
    file: Option<&'a str>,
    calls: Vec<(&'a str, Position)>,
}

impl<'a> Cause<'a> {
    /// The most calls in a message; more add no information.
    const MAX_CALLS: usize = 3;

    fn of(error: &'a EvalAltResult) -> Self {
        let mut cause = Self { error, at: error.position(), file: None, calls: Vec::new() };
        while let EvalAltResult::ErrorInFunctionCall(name, file, inner, at) = cause.error {
            cause.calls.push((name, *at));
            cause.error = inner;
            // errors of limits have no position of their own: the call's is the nearest
            if !inner.position().is_none() {
                cause.at = inner.position();
                cause.file = Some(file);
            }
        }
        cause.calls.reverse();
        cause.calls.truncate(Self::MAX_CALLS);
        cause
    }
}

fn reason(error: &EvalAltResult, source: &Source, limits: &Limits) -> String {
    match error {
        EvalAltResult::ErrorTooManyOperations(_) => {
            format!("it took more than {} operations", limits.operations)
        }
        EvalAltResult::ErrorStackOverflow(_) => {
            format!("its functions call each other deeper than {} levels", limits.call_depth)
        }
        EvalAltResult::ErrorDataTooLarge(kind, _) => format!(
            "{} (limits: {} bytes a string, {} elements an array, {} entries a map)",
            lower(kind) + " is over its limit",
            limits.string_bytes,
            limits.array_items,
            limits.map_entries
        ),
        EvalAltResult::ErrorTerminated(token, _) => match token.clone().try_cast() {
            Some(Stop::Time) => {
                let (time, more) = (limits.time.as_millis(), limits.time_per_mib.as_millis());
                format!(
                    "it ran longer than {time} ms and {more} ms for each MiB (`time_limit`, `time_limit_per_mib`)"
                )
            }
            Some(Stop::Misuse(message)) => message,
            Some(Stop::Full(full)) => no_room(&full, source),
            _ => "it was stopped".to_owned(),
        },
        EvalAltResult::ErrorFunctionNotFound(signature, _) => {
            format!("there is no function `{signature}`")
        }
        EvalAltResult::ErrorVariableNotFound(name, _) => format!("no variable is named `{name}`"),
        EvalAltResult::ErrorRuntime(thrown, _) => thrown_message(thrown, source),
        // Rhai quotes the value that it could not read, which may be part of a body
        EvalAltResult::ErrorArithmetic(message, _) => {
            lower(message.split(['\'', '"', ':']).next().unwrap_or_default().trim_end())
        }
        EvalAltResult::ErrorDotExpr(message, _) if message.ends_with("for type '()'") => {
            let name = message.split('\'').nth(1).unwrap_or_default();
            format!(
                "cannot read `{name}` of `()`: the value before the dot is missing; `?.{name}` returns `()` in this case"
            )
        }
        other => lower(without_place(&other.to_string())),
    }
}

/// Returns the error of a value that does not fit into `ctx.state`. A name that the script computes may be
/// part of a request, so the message leaves it out.
fn no_room(full: &Full, source: &Source) -> String {
    let Full { name, bytes, others, limit } = full;
    let entry = match source.says(name) {
        true => format!("`ctx.state.{name}`"),
        false => "the entry of `ctx.state`".to_owned(),
    };
    format!(
        "{entry} takes {bytes} bytes and the other entries take {others}: `ctx.state` holds at most {limit} bytes"
    )
}

/// Returns the thrown message, if it contains nothing of a request: a message of Tidegate, or text that
/// stands in the script itself. Any other text may be part of a body, and no log may hold that.
fn thrown_message(thrown: &rhai::Dynamic, source: &Source) -> String {
    if let Some(AuthorError(message)) = thrown.clone().try_cast() {
        return message;
    }
    if let Some(Quoting { message, quote }) = thrown.clone().try_cast() {
        return if source.says(&quote) { format!("{message}: `{quote}`") } else { message };
    }
    match thrown.clone().into_immutable_string() {
        Ok(text) if source.says(&text) => text.to_string(),
        Ok(_) => "it threw a computed text (not logged: it may be part of a request)".to_owned(),
        Err(_) => "it threw".to_owned(),
    }
}

/// The result of every function that a script calls.
pub(super) type ScriptResult<T = rhai::Dynamic> = Result<T, Box<EvalAltResult>>;

/// The error of a Tidegate function after wrong use. It names fields and types, never values.
#[derive(Debug, Clone)]
pub(super) struct AuthorError(pub(super) String);

impl From<AuthorError> for Box<EvalAltResult> {
    fn from(error: AuthorError) -> Self {
        EvalAltResult::ErrorRuntime(rhai::Dynamic::from(error), Position::NONE).into()
    }
}

/// An [`AuthorError`] with a text that is quoted only if it stands in the script: it may be part of a request.
#[derive(Debug, Clone)]
pub(super) struct Quoting {
    pub(super) message: String,
    pub(super) quote: String,
}

impl From<Quoting> for Box<EvalAltResult> {
    fn from(quoting: Quoting) -> Self {
        EvalAltResult::ErrorRuntime(rhai::Dynamic::from(quoting), Position::NONE).into()
    }
}

/// Removes the position at the end of a Rhai message: Tidegate puts it at the start.
fn without_place(message: &str) -> &str {
    message.rsplit_once(" (line ").map_or(message, |(text, _)| text)
}

fn lower(message: &str) -> String {
    let mut chars = message.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
