//! The errors that a strict reader of HTML finds in a page.

use html5ever::interface::{ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::tendril::{StrTendril, TendrilSink as _};
use html5ever::{Attribute, ExpandedName, LocalName, ParseOpts, QualName, ns, parse_document};
use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

/// Returns what is wrong with the page.
pub fn errors(html: &str) -> Vec<String> {
    parse_document(Errors::default(), ParseOpts::default()).one(html)
}

/// A tree that is not kept: only what is wrong with it is.
#[derive(Default)]
struct Errors(RefCell<Vec<String>>);

/// A node, by its name.
type Node = Rc<QualName>;

fn node(name: QualName) -> Node {
    Rc::new(name)
}

fn nameless() -> Node {
    node(QualName::new(None, ns!(), LocalName::from("")))
}

impl TreeSink for Errors {
    type Handle = Node;
    type Output = Vec<String>;
    type ElemName<'a> = ExpandedName<'a>;

    fn finish(self) -> Vec<String> {
        self.0.into_inner()
    }

    fn parse_error(&self, message: Cow<'static, str>) {
        self.0.borrow_mut().push(message.into_owned());
    }

    fn get_document(&self) -> Node {
        nameless()
    }

    fn elem_name<'a>(&'a self, target: &'a Node) -> ExpandedName<'a> {
        target.expanded()
    }

    fn create_element(&self, name: QualName, _: Vec<Attribute>, _: ElementFlags) -> Node {
        node(name)
    }

    fn create_comment(&self, _: StrTendril) -> Node {
        nameless()
    }

    fn create_pi(&self, _: StrTendril, _: StrTendril) -> Node {
        nameless()
    }

    fn append(&self, _: &Node, _: NodeOrText<Node>) {}

    fn append_based_on_parent_node(&self, _: &Node, _: &Node, _: NodeOrText<Node>) {}

    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}

    fn get_template_contents(&self, target: &Node) -> Node {
        Rc::clone(target)
    }

    fn same_node(&self, one: &Node, other: &Node) -> bool {
        Rc::ptr_eq(one, other)
    }

    fn set_quirks_mode(&self, mode: QuirksMode) {
        if mode != QuirksMode::NoQuirks {
            self.parse_error("quirks mode".into());
        }
    }

    fn append_before_sibling(&self, _: &Node, _: NodeOrText<Node>) {}

    fn add_attrs_if_missing(&self, _: &Node, _: Vec<Attribute>) {}

    fn remove_from_parent(&self, _: &Node) {}

    fn reparent_children(&self, _: &Node, _: &Node) {}
}

#[test]
fn a_mistake_is_found() {
    let page = |body: &str| {
        format!(
            "<!doctype html><html lang=en><head><title>t</title></head><body>{body}</body></html>"
        )
    };
    assert_eq!(errors(&page("<p>fine</p>")), [""; 0]);
    for wrong in ["<p><ul></ul></p>", "<b><p></b></p>", "<div id=a id=b></div>"] {
        assert!(!errors(&page(wrong)).is_empty(), "{wrong}");
    }
}
