//! What one source file says of others: its child modules, its imports, the paths in its code.
use std::collections::BTreeSet;

use proc_macro2::{Literal, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, ItemMod, ItemUse, LitStr, Meta, UseTree, Visibility};

/// A path as written, but for `self` and `super`, which are resolved: `crate::a::b::Name`, or relative.
pub type Names = Vec<String>;

/// A source file, without what is compiled for tests only.
#[derive(Debug, Default)]
pub struct Outline {
    /// `mod name;`, each with its `#[path]` if it has one.
    pub children: Vec<(String, Option<String>)>,
    /// Items that the file defines.
    pub items: BTreeSet<String>,
    /// `use …`, one for each name.
    pub imports: Vec<Import>,
    /// Paths in expressions, types, patterns, attributes and the arguments of macros.
    pub mentions: BTreeSet<Names>,
}

/// One name of a `use`.
#[derive(Debug, PartialEq, Eq)]
pub struct Import {
    /// The name in this file; `None` for `*`.
    pub name: Option<String>,
    /// The path that it stands for; of `*`, the path before it.
    pub path: Names,
    /// `pub use` in any form.
    pub is_reexport: bool,
}

impl Outline {
    /// Reads a file. `module` is its place in the crate: `["crate", "net", "egress"]`.
    pub fn parse(module: &[String], text: &str) -> syn::Result<Self> {
        let file = syn::parse_file(text)?;
        let mut reader = Reader { place: module.to_vec(), outline: Self::default() };
        reader.visit_file(&file);
        Ok(reader.outline)
    }
}

struct Reader {
    /// The module that is being read: the file's, or one that stands in it with braces.
    place: Names,
    outline: Outline,
}

impl Reader {
    /// `None` where the path climbs out of the crate.
    fn resolved(&self, written: &[String]) -> Option<Names> {
        let mut place = self.place.clone();
        let mut rest = written;
        if rest.first().is_some_and(|first| first == "self") {
            rest = &rest[1..];
        } else if rest.first().is_none_or(|first| first != "super") {
            return Some(written.to_vec());
        }
        while rest.first().is_some_and(|first| first == "super") {
            place.pop()?;
            rest = &rest[1..];
        }
        Some([&place, rest].concat())
    }

    fn mention(&mut self, written: &[String]) {
        if let Some(path) = self.resolved(written).filter(|path| !path.is_empty()) {
            self.outline.mentions.insert(path);
        }
    }

    fn import(&mut self, tree: &UseTree, before: &[String], is_reexport: bool) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        let (name, path) = match tree {
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before, is_reexport);
                }
                return;
            }
            UseTree::Path(step) => return self.import(&step.tree, &with(&step.ident), is_reexport),
            UseTree::Glob(_) => (None, before.to_vec()),
            UseTree::Name(name) if name.ident == "self" => {
                (before.last().cloned(), before.to_vec())
            }
            UseTree::Name(name) => (Some(name.ident.to_string()), with(&name.ident)),
            UseTree::Rename(name) => (Some(name.rename.to_string()), with(&name.ident)),
        };
        if let Some(path) = self.resolved(&path) {
            self.outline.imports.push(Import { name, path, is_reexport });
        }
    }

    /// The arguments of a macro or an attribute: any path in them may be code.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Names::new();
        let mut colons = 0;
        for token in tokens {
            let name = match &token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(name) => Some(name.to_string()),
                _ => None,
            };
            if name.is_none() || colons != 2 {
                self.mention(&std::mem::take(&mut path));
            }
            colons = 0;
            path.extend(name);
            if let TokenTree::Group(group) = token {
                self.tokens(group.stream());
            }
        }
        self.mention(&path);
    }

    /// `#[serde(with = "crate::wire::duration")]` uses functions of that module.
    fn texts(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.texts(group.stream()),
                TokenTree::Literal(literal) => self.text(&literal),
                _ => {}
            }
        }
    }

    fn text(&mut self, literal: &Literal) {
        let text = syn::parse_str::<LitStr>(&literal.to_string());
        if let Ok(path) = text.and_then(|text| text.parse::<syn::Path>()) {
            let mut function = written(&path);
            function.push("_".to_owned());
            self.mention(&function);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name) = of_item(item);
        if is_for_tests(attributes) {
            return;
        }
        self.outline.items.extend(name.map(ToString::to_string));
        visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Fn(function) => &*function.attrs,
            ImplItem::Const(constant) => &*constant.attrs,
            _ => &[],
        };
        if !is_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let name = module.ident.to_string();
        if module.content.is_none() {
            self.outline.items.remove(&name);
            self.outline.children.push((name, file_of(&module.attrs)));
            return;
        }
        self.place.push(name);
        visit::visit_item_mod(self, module);
        self.place.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            self.import(&item.tree, &[], !matches!(item.vis, Visibility::Inherited));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.mention(&written(path));
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
            self.texts(list.tokens.clone());
        }
    }

    /// `pub(super)` names a place, and uses nothing of it.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

fn written(path: &syn::Path) -> Names {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

fn of_item(item: &Item) -> (&[Attribute], Option<&syn::Ident>) {
    match item {
        Item::Const(it) => (&it.attrs, Some(&it.ident)),
        Item::Enum(it) => (&it.attrs, Some(&it.ident)),
        Item::Fn(it) => (&it.attrs, Some(&it.sig.ident)),
        Item::Impl(it) => (&it.attrs, None),
        Item::Macro(it) => (&it.attrs, it.ident.as_ref()),
        Item::Mod(it) => (&it.attrs, Some(&it.ident)),
        Item::Static(it) => (&it.attrs, Some(&it.ident)),
        Item::Struct(it) => (&it.attrs, Some(&it.ident)),
        Item::Trait(it) => (&it.attrs, Some(&it.ident)),
        Item::Type(it) => (&it.attrs, Some(&it.ident)),
        Item::Union(it) => (&it.attrs, Some(&it.ident)),
        Item::Use(it) => (&it.attrs, None),
        _ => (&[], None),
    }
}

/// `#[cfg(test)]`, also as one condition of several, but not `not(test)`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    let conditions = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => Some(list.tokens.clone()),
        _ => None,
    });
    conditions.into_iter().any(needs_test)
}

fn needs_test(condition: TokenStream) -> bool {
    let mut is_negated = false;
    condition.into_iter().any(|token| match token {
        TokenTree::Ident(word) => {
            is_negated = word == "not" || word == "any";
            word == "test"
        }
        TokenTree::Group(group) => !is_negated && needs_test(group.stream()),
        _ => false,
    })
}

fn file_of(attributes: &[Attribute]) -> Option<String> {
    let values = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => Some(&pair.value),
        _ => None,
    });
    let literals = values.filter_map(|value| match value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
        _ => None,
    });
    literals.into_iter().next()
}
