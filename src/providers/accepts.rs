//! The names that a target understands of the Messages API, and the names that a request uses.
use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use wildmatch::WildMatch;

use crate::error::Problem;
use crate::wire::MessagesRequest;

/// The beginning of the names of content blocks.
const BLOCK: &str = "block:";
/// The beginning of the names of tool types.
const TOOL: &str = "tool:";
/// The largest length of a type of the API's own tools. The upstream rejects longer ones, which are
/// the caller's invention.
const LONGEST: usize = 64;
/// Every target understands these fields.
const CORE: &[&str] = &["model", "messages", "max_tokens", "stream"];
/// Every target understands these blocks.
const CORE_BLOCKS: &[&str] = &["text"];
/// Every target understands these tools.
const CORE_TOOLS: &[&str] = &["custom"];

/// The part of the Messages API that an upstream, or one of its targets, understands. The default
/// understands all names, is not native, runs no server tools and cites nothing.
#[derive(Debug, Clone, Default)]
pub struct Accepts {
    /// Whether the whole API passes unchanged.
    pub is_native: bool,
    /// Whether the upstream runs the API's own server tools itself.
    pub has_server_tools: bool,
    /// Whether results of tools may be citable blocks.
    pub cites: bool,
    pub(super) fields: Names,
    pub(super) blocks: Names,
    pub(super) tools: Names,
}

/// A set of names: all except some, or some of a closed list.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    /// The only ones in the set; `None` for all.
    only: Option<Vec<Name>>,
    /// The names outside the set, even if `only` has them.
    not: Vec<Name>,
}

/// One name, or all names of a pattern.
#[derive(Debug, Clone, PartialEq)]
enum Name {
    Exact(Box<str>),
    Pattern(WildMatch),
}

impl Name {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *name,
            Self::Pattern(pattern) => pattern.matches(name),
        }
    }

    fn exact(&self) -> Option<&str> {
        match self {
            Self::Exact(exact) => Some(exact),
            Self::Pattern(_) => None,
        }
    }
}

impl Names {
    fn only(names: impl Iterator<Item = Name>) -> Self {
        Self { only: Some(names.collect()), not: Vec::new() }
    }

    fn is_all(&self) -> bool {
        self.only.is_none() && self.not.is_empty()
    }

    fn lacks(&self, name: &str) -> bool {
        let is_known = |only: &Vec<Name>| only.iter().any(|known| known.matches(name));
        self.not.iter().any(|not| not.matches(name)) || !self.only.as_ref().is_none_or(is_known)
    }

    /// Removes a name. A provider and its target may both name it.
    fn take_out(&mut self, name: Name) {
        if !self.not.contains(&name) {
            self.not.push(name);
        }
    }

    /// Returns the used names that are not in the set, each once. Those that were removed by name
    /// come first.
    fn lacked<'a>(&'a self, used: &'a BTreeSet<Box<str>>) -> impl Iterator<Item = &'a str> {
        let named = || self.not.iter().filter_map(Name::exact);
        let others = used
            .iter()
            .map(|name| &**name)
            .filter(move |name| self.lacks(name) && !named().any(|named| named == *name));
        named().filter(|name| used.contains(*name)).chain(others)
    }
}

impl Accepts {
    /// Makes an upstream that understands only these names and the core of the API. `tools` may
    /// have wildcards.
    pub fn only(fields: &[&str], blocks: &[&str], tools: &[&str]) -> Self {
        let exact = |name: &&str| Name::Exact((*name).into());
        let pattern = |name: &&str| Name::Pattern(WildMatch::new(name));
        Self {
            fields: Names::only(CORE.iter().chain(fields).map(exact)),
            blocks: Names::only(CORE_BLOCKS.iter().chain(blocks).map(exact)),
            tools: Names::only(CORE_TOOLS.iter().chain(tools).map(pattern)),
            ..Self::default()
        }
    }

    /// Makes a translated upstream: only these fields and tools, and every block.
    pub fn translated(fields: &[&str], tools: &[&str]) -> Self {
        Self { blocks: Names::default(), ..Self::only(fields, &[], tools) }
    }

    /// Keeps only these fields and the core.
    #[must_use]
    pub(super) fn only_fields(mut self, fields: &[&str]) -> Self {
        let exact = |name: &&str| Name::Exact((*name).into());
        self.fields = Names::only(CORE.iter().chain(fields).map(exact));
        self
    }

    /// Removes names that a provider's own table lists.
    #[must_use]
    pub(super) fn without_known(mut self, names: &[&str]) -> Self {
        for name in names {
            let taken = self.take_out(name);
            debug_assert!(taken.is_ok(), "{taken:?}");
        }
        self
    }

    /// Removes the names of `unsupported:` in the config; `path` is the place of that key.
    ///
    /// Fails if one of them is not a name, or belongs to the core.
    pub fn without(&self, path: &str, unsupported: &[String]) -> Result<Self, Problem> {
        let mut rest = self.clone();
        for (n, name) in unsupported.iter().enumerate() {
            let taken = rest.take_out(name);
            taken.map_err(|message| Problem::new(format!("{path}.unsupported[{n}]"), message))?;
        }
        Ok(rest)
    }

    fn take_out(&mut self, name: &str) -> Result<(), String> {
        match (name.strip_prefix(BLOCK), name.strip_prefix(TOOL)) {
            (Some("" | "text"), _) | (_, Some("")) => {
                return Err(format!("`{name}` is understood by every target"));
            }
            (Some(block), _) => self.blocks.take_out(Name::Exact(block.into())),
            (_, Some(tool)) => self.tools.take_out(Name::Pattern(WildMatch::new(tool))),
            _ if CORE.contains(&name) => {
                return Err(format!("`{name}` is understood by every target"));
            }
            _ if name.is_empty() || name.contains([':', '/', '.', '*']) => {
                return Err(format!(
                    "`{name}` is neither a field of a request (`top_k`) nor a content block (`block:image`) nor a type of tools (`tool:web_search_*`)"
                ));
            }
            _ => self.fields.take_out(Name::Exact(name.into())),
        }
        Ok(())
    }

    /// Returns whether every name is understood, so that no inventory is needed.
    pub fn is_all(&self) -> bool {
        self.fields.is_all() && self.blocks.is_all() && self.tools.is_all()
    }

    /// Returns whether a field of a request is not understood.
    pub fn lacks_field(&self, name: &str) -> bool {
        self.fields.lacks(name)
    }

    /// Returns whether tools of a type are not understood.
    pub fn lacks_tool(&self, kind: &str) -> bool {
        self.tools.lacks(kind)
    }

    /// Returns whether content blocks of a type are not understood.
    pub fn lacks_block(&self, kind: &str) -> bool {
        self.blocks.lacks(kind)
    }

    /// Returns the names that a request uses and the target does not understand, each once: `top_k`,
    /// `block:image`, `tool:web_search_20250305`.
    pub fn unsupported_in(&self, inventory: &Inventory) -> Vec<String> {
        let fields = self.fields.lacked(&inventory.fields).map(str::to_owned);
        let blocks = self.blocks.lacked(&inventory.blocks).map(|kind| format!("{BLOCK}{kind}"));
        let tools = self.tools.lacked(&inventory.tools).map(|kind| format!("{TOOL}{kind}"));
        fields.chain(blocks).chain(tools).collect()
    }
}

/// The names that a request uses. One pass over the content makes it for any number of targets. It
/// is valid until the next edit, which `Document::mark` detects.
#[derive(Debug)]
pub struct Inventory {
    fields: BTreeSet<Box<str>>,
    blocks: BTreeSet<Box<str>>,
    tools: BTreeSet<Box<str>>,
}

impl Inventory {
    /// Reads a request. Content of a wrong shape has no names here; the upstream rejects it.
    pub fn of(request: &MessagesRequest) -> Self {
        let fields = request.document().names().map(Box::from).collect();
        let mut blocks = BTreeSet::new();
        read(request, "system", Reader { found: &mut blocks, place: Place::Blocks });
        read(request, "messages", Reader { found: &mut blocks, place: Place::Messages });
        let mut tools = BTreeSet::new();
        read(request, "tools", Reader { found: &mut tools, place: Place::Tools });
        tools.retain(|kind| kind.len() <= LONGEST);
        Self { fields, blocks, tools }
    }
}

fn read(request: &MessagesRequest, field: &str, reader: Reader<'_>) {
    let Some(text) = request.document().field(field) else { return };
    // fails only for content deeper than any real one; the names found before that point count
    let _ = reader.deserialize(&mut serde_json::Deserializer::from_slice(&text));
}

/// The place of a value in a request.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// The list `messages`.
    Messages,
    Message,
    /// A list of content blocks.
    Blocks,
    Block,
    /// The list `tools`.
    Tools,
    Tool,
    /// The `type` of a block or a tool.
    Kind,
    Elsewhere,
}

impl Place {
    /// Returns the place of an element of the list here.
    fn element(self) -> Self {
        match self {
            Self::Messages => Self::Message,
            Self::Blocks => Self::Block,
            Self::Tools => Self::Tool,
            Self::Message | Self::Block | Self::Tool | Self::Kind | Self::Elsewhere => {
                Self::Elsewhere
            }
        }
    }

    /// Returns the place of a member of the object here.
    fn member(self, key: Key) -> Self {
        match (self, key) {
            (Self::Block | Self::Tool, Key::Type) => Self::Kind,
            (Self::Block | Self::Message, Key::Content) => Self::Blocks,
            _ => Self::Elsewhere,
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Type,
    Content,
    #[serde(other)]
    Other,
}

/// Walks through a value and collects the types in it. It allocates only new names.
struct Reader<'a> {
    found: &'a mut BTreeSet<Box<str>>,
    place: Place,
}

impl Reader<'_> {
    fn at(&mut self, place: Place) -> Reader<'_> {
        Reader { found: self.found, place }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.place {
            Place::Elsewhere => IgnoredAny::deserialize(deserializer).map(drop),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        let place = self.place.element();
        while list.next_element_seed(self.at(place))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        while let Some(key) = object.next_key::<Key>()? {
            let place = self.place.member(key);
            object.next_value_seed(self.at(place))?;
        }
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if matches!(self.place, Place::Kind) && !self.found.contains(text) {
            self.found.insert(text.into());
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::Endpoint;

    fn request(more: Value) -> MessagesRequest {
        let mut body = json!({"model": "m", "max_tokens": 9, "messages": []});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        MessagesRequest::parse(Bytes::from(body.to_string()), Endpoint::Messages).unwrap()
    }

    fn lacking(names: &[&str]) -> Accepts {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Accepts::default().without("p", &names).unwrap()
    }

    fn unsupported(accepts: &Accepts, more: Value) -> Vec<String> {
        accepts.unsupported_in(&Inventory::of(&request(more)))
    }

    fn user(content: Value) -> Value {
        json!({"role": "user", "content": content})
    }

    #[test]
    fn a_deny_list_names_the_unsupported_features_in_the_order_of_the_config() {
        let accepts = lacking(&["top_k", "metadata", "block:image", "tool:web_search_*", "stop"]);
        assert!(!accepts.is_all() && Accepts::default().is_all());
        let used = json!({
            "metadata": {}, "top_k": null, "temperature": 1,
            "tools": [{"type": "web_search_2"}, {"type": "web_search_1"}, {"type": "web_search_2"},
                {"type": "bash_1"}, {"name": "own"}],
            "messages": [user(json!([{"type": "image"}, {"type": "text"}, {"type": "image"}]))],
        });
        let expected =
            ["top_k", "metadata", "block:image", "tool:web_search_1", "tool:web_search_2"];
        assert_eq!(unsupported(&accepts, used), expected);
        assert_eq!(unsupported(&accepts, json!({})), [""; 0]);
        assert!(accepts.lacks_tool("web_search_20250305") && !accepts.lacks_tool("bash_1"));
        assert!(accepts.lacks_block("image") && !accepts.lacks_block("document"));
    }

    #[test]
    fn an_allow_list_understands_its_names_and_the_core() {
        let accepts = Accepts::only(&["tools", "system", "top_k"], &["image"], &["bash_*"]);
        let used = json!({
            "top_k": 1, "top_p": 1, "stream": true,
            "tools": [{"type": "custom"}, {"type": "bash_1"}, {"type": "computer_1"}, {}],
            "system": [{"type": "text"}, {"type": "search_result"}],
            "messages": [user(json!([{"type": "image"}, {"type": "text"}, {"type": "document"}]))],
        });
        let expected = ["top_p", "block:document", "block:search_result", "tool:computer_1"];
        assert_eq!(unsupported(&accepts, used.clone()), expected);
        let names = ["top_k".to_owned(), "block:document".to_owned(), "tool:bash_1".to_owned()];
        let accepts = accepts.without("p", &names).unwrap();
        let expected = [
            "top_k",
            "top_p",
            "block:document",
            "block:search_result",
            "tool:bash_1",
            "tool:computer_1",
        ];
        assert_eq!(unsupported(&accepts, used), expected);
    }

    #[test]
    fn blocks_within_the_results_of_tools_count() {
        let accepts = lacking(&["block:image", "block:tool_result", "block:message"]);
        let result = json!({"content": [{"type": "image"}], "type": "tool_result"});
        let mut message = user(json!([result]));
        message["type"] = "message".into();
        let used = json!({"messages": [message, user(json!("hi"))]});
        // a message is not a block
        assert_eq!(unsupported(&accepts, used), ["block:image", "block:tool_result"]);
    }

    #[test]
    fn content_of_a_wrong_shape_has_no_names_and_hides_none() {
        let accepts = lacking(&["block:image", "tool:a"]);
        let used = json!({
            "system": 1.5,
            "tools": [null, true, -1, 1, "a", ["a"], {"type": {"type": "a"}}, {"type": "a"}],
            "messages": [null, [{"type": "image"}], {"content": {"type": "image"}}, user(json!(["image"])),
                user(json!([{"type": ["image"], "source": {"type": "image"}}]))],
        });
        assert_eq!(unsupported(&accepts, used), ["tool:a"]);
        let found = json!({"messages": [{"content": 5}, user(json!([7, {"type": "image"}]))]});
        assert_eq!(unsupported(&accepts, found), ["block:image"]);
    }

    #[test]
    fn a_type_of_tools_that_is_too_long_for_the_api_is_left_to_the_upstream() {
        let accepts = lacking(&["tool:*"]);
        let tools = |length: usize| json!({"tools": [{"type": "x".repeat(length)}]});
        assert_eq!(unsupported(&accepts, tools(LONGEST)).len(), 1);
        assert_eq!(unsupported(&accepts, tools(LONGEST + 1)).len(), 0);
    }

    #[test]
    fn a_name_that_is_none_is_a_problem_with_its_place() {
        let problem = |name: &str| {
            let names = ["top_k".to_owned(), name.to_owned()];
            Accepts::default().without("p", &names).unwrap_err().to_string()
        };
        for name in ["messages", "block:text", "block:", "tool:"] {
            let expected = format!("p.unsupported[1]: `{name}` is understood by every target");
            assert_eq!(problem(name), expected);
        }
        for name in ["", "blok:image", "thinking.type", "top_*"] {
            assert!(problem(name).contains("is neither a field of a request"), "{name}");
        }
    }
}
