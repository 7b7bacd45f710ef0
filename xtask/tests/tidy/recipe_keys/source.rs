//! The source files of configuration structs, parsed, with their items by name. Modules inside of a file
//! are not looked into: what a recipe is read into stands at the top level of its file.

use anyhow::{Context, Result};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use syn::{Expr, File, ImplItem, Item, ItemEnum, ItemFn, ItemImpl, ItemStruct, Stmt, Type};

/// Reads files at their first use, and keeps them.
pub(super) struct Sources<'a> {
    read: &'a dyn Fn(&str) -> Result<String>,
    files: RefCell<BTreeMap<String, Rc<File>>>,
}

impl<'a> Sources<'a> {
    /// Files by their path relative to the root.
    pub(super) fn new(read: &'a dyn Fn(&str) -> Result<String>) -> Self {
        Self { read, files: RefCell::new(BTreeMap::new()) }
    }

    pub(super) fn file(&self, path: &str) -> Result<Rc<File>> {
        if let Some(file) = self.files.borrow().get(path) {
            return Ok(Rc::clone(file));
        }
        let text = (self.read)(path)?;
        let file = Rc::new(syn::parse_file(&text).with_context(|| format!("{path} is not Rust"))?);
        self.files.borrow_mut().insert(path.to_owned(), Rc::clone(&file));
        Ok(file)
    }
}

pub(super) fn find_struct<'f>(file: &'f File, name: &str) -> Option<&'f ItemStruct> {
    file.items.iter().find_map(|item| match item {
        Item::Struct(item) if item.ident == name => Some(item),
        _ => None,
    })
}

pub(super) fn find_enum<'f>(file: &'f File, name: &str) -> Option<&'f ItemEnum> {
    file.items.iter().find_map(|item| match item {
        Item::Enum(item) if item.ident == name => Some(item),
        _ => None,
    })
}

/// The expression that a function without statements returns, such as `fn one() -> f64 { 1.0 }`.
pub(super) fn returned<'f>(file: &'f File, name: &str) -> Option<&'f Expr> {
    let function = |item: &'f Item| match item {
        Item::Fn(item) if item.sig.ident == name => Some(item),
        _ => None,
    };
    let ItemFn { block, .. } = file.items.iter().find_map(function)?;
    match block.stmts.as_slice() {
        [Stmt::Expr(expression, None)] => Some(expression),
        _ => None,
    }
}

/// The statements of `default` in `impl Default for NAME`.
pub(super) fn default_body<'f>(file: &'f File, name: &str) -> Option<&'f [Stmt]> {
    let is_default = |item: &ItemImpl| {
        let of = item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
        of.is_some_and(|segment| segment.ident == "Default")
            && matches!(&*item.self_ty, Type::Path(path) if path.path.is_ident(name))
    };
    let item = file.items.iter().find_map(|item| match item {
        Item::Impl(item) if is_default(item) => Some(item),
        _ => None,
    })?;
    item.items.iter().find_map(|item| match item {
        ImplItem::Fn(function) if function.sig.ident == "default" => Some(function.block.stmts.as_slice()),
        _ => None,
    })
}
