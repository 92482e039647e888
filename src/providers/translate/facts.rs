//! `ModelFacts`: the limits of one model that an encoder must know.

/// The limits of a model. The default is a model about which nothing is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ModelFacts {
    /// The largest number of output tokens.
    pub(crate) max_output: Option<u64>,
    /// The accepted values of the effort; `None` if the server's list counts.
    pub(crate) efforts: Option<Vec<String>>,
    /// The sampling parameters that the model takes.
    pub(crate) sampling: Sampling,
    /// Whether the model takes stop sequences.
    pub(crate) refuses_stop: bool,
    /// Whether Chat Completions takes tools only with effort `none`.
    pub(crate) chat_tools: ChatTools,
    /// Whether the model takes explicit cache breakpoints.
    pub(crate) takes_breakpoints: bool,
}

/// The sampling parameters (`temperature`, `top_p`) that a model takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Sampling {
    /// All.
    #[default]
    Any,
    /// Only while it does not reason.
    WithoutReasoning,
    /// None.
    Never,
}

/// The tools that a model takes on Chat Completions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ChatTools {
    /// All.
    #[default]
    Any,
    /// Only with effort `none`.
    WithoutReasoning,
}
