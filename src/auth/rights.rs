//! The models and server tools that a key may use.
use wildmatch::WildMatch;

/// The prefix of server tools in declarations; a pattern may have it as well.
const NAMESPACE: &str = "gateway:";

/// The rights of a key. The default may use everything.
#[derive(Debug, Default)]
pub(crate) struct Rights {
    models: Option<Box<[WildMatch]>>,
    tools: Option<Box<[WildMatch]>>,
}

impl Rights {
    /// Compiles the patterns of a key; without patterns it may use all.
    pub(crate) fn new(models: Option<&[String]>, tools: Option<&[String]>) -> Self {
        let models = models.map(|globs| globs.iter().map(|glob| WildMatch::new(glob)).collect());
        let bare = |glob: &String| WildMatch::new(glob.strip_prefix(NAMESPACE).unwrap_or(glob));
        Self { models, tools: tools.map(|globs| globs.iter().map(bare).collect()) }
    }

    /// Returns whether the key may name this model (alias).
    pub(crate) fn allow_model(&self, model: &str) -> bool {
        self.models.as_ref().is_none_or(|globs| globs.iter().any(|glob| glob.matches(model)))
    }

    /// Returns whether the key may use a server tool, by its name without prefix and date.
    pub(crate) fn allow_tool(&self, tool: &str) -> bool {
        self.tools.as_ref().is_none_or(|globs| globs.iter().any(|glob| glob.matches(tool)))
    }

    /// Returns whether the key may use every server tool.
    pub(crate) fn allow_all_tools(&self) -> bool {
        self.tools.is_none()
    }

    /// Returns whether the key may use every model.
    pub(crate) fn allow_all_models(&self) -> bool {
        self.models.is_none()
    }
}
