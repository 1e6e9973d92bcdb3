//! No file needs another one that needs it, directly or through others.
//!
//! A file needs the files whose items it names. `mod` declares and `pub use` passes on: neither is a
//! need by itself, and a name that was passed on stands for the file that defines it.

use super::names::{Names, names};
use super::tree::{SOURCES, Sources, files};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The modules of a crate by their paths.
struct Modules {
    crate_name: String,
    files: BTreeMap<Vec<String>, (String, Names)>,
}

/// What a path leads to: the module with this path, or an item in it.
#[derive(PartialEq, Eq, Debug)]
enum Target {
    Module(Vec<String>),
    Item(Vec<String>),
}

/// A file's needs: which file, because of which name in which line.
type Needs = BTreeMap<String, BTreeMap<String, String>>;

impl Modules {
    fn new(sources: &Sources, texts: &BTreeMap<String, String>) -> Self {
        let mut files = BTreeMap::new();
        for (path, text) in texts {
            let inner = path.strip_prefix(sources.directory).unwrap_or(path);
            let module = inner.trim_start_matches('/').trim_end_matches(".rs");
            let module = match module.rsplit_once('/') {
                Some((folder, "mod")) => folder,
                None if module == "lib" => "",
                // A program is a crate of its own, which no module can name.
                None if module == "main" => continue,
                _ => module,
            };
            let module = module.split('/').filter(|name| !name.is_empty()).map(str::to_owned);
            files.insert(module.collect(), (path.clone(), names(text)));
        }
        // Files of tests are declared under `#[cfg(test)]`.
        let is_declared = |module: &Vec<String>| match module.split_last() {
            Some((name, parent)) => {
                files.get(parent).is_some_and(|(_, names)| names.defined.contains(name))
            }
            None => true,
        };
        let undeclared: Vec<_> =
            files.keys().filter(|module| !is_declared(module)).cloned().collect();
        for module in undeclared {
            files.remove(&module);
        }
        Self { crate_name: sources.crate_name.to_owned(), files }
    }

    /// Where a path leads that stands in `file` within these inline modules; none if it leads out of
    /// the crate.
    fn resolve(
        &self,
        file: &[String],
        inline: &[String],
        path: &[String],
        depth: usize,
    ) -> Option<Target> {
        // Imports can name each other.
        if depth > 16 {
            return None;
        }
        let here = [file, inline].concat();
        let first = path.first()?;
        if *first == "crate" || *first == self.crate_name {
            return self.walk(Vec::new(), &path[1..], depth);
        }
        if first == "self" || first == "super" {
            let ups = path.iter().take_while(|name| *name == "super" || *name == "self");
            let above = ups.clone().filter(|name| *name == "super").count();
            let base = here[..here.len().saturating_sub(above)].to_vec();
            return self.walk(base, &path[ups.count()..], depth);
        }
        let (_, names) = self.files.get(file)?;
        let is_child = self.files.contains_key(&child(&here, first));
        let is_import = names.imports.iter().any(|import| import.name == *first);
        if is_child || is_import || names.defined.contains(first) {
            return self.walk(here, path, depth);
        }
        None
    }

    /// Follows `path` down from the module `base`.
    fn walk(&self, base: Vec<String>, path: &[String], depth: usize) -> Option<Target> {
        let mut module = base;
        // An inline module is in its file.
        while !self.files.contains_key(&module) {
            module.pop()?;
        }
        for (at, name) in path.iter().enumerate() {
            let child = child(&module, name);
            let is_last = at + 1 == path.len();
            if self.files.contains_key(&child) && !(is_last && self.has_item(&module, name)) {
                module = child;
            } else {
                return self.item(&module, &path[at..], depth);
            }
        }
        Some(Target::Module(module))
    }

    /// Whether a module has an item beside a module of this name.
    fn has_item(&self, module: &[String], name: &str) -> bool {
        let (_, names) = &self.files[module];
        names.imports.iter().any(|import| {
            import.name == name
                && import.path.last().is_some_and(|last| last == name)
                && import.path.len() > 1
                && import.is_public
        })
    }

    /// Where the item with which `path` begins in `module` is defined.
    fn item(&self, module: &[String], path: &[String], depth: usize) -> Option<Target> {
        let (_, names) = &self.files[module];
        let name = &path[0];
        if names.defined.contains(name) {
            return Some(Target::Item(module.to_vec()));
        }
        if let Some(import) = names.imports.iter().find(|import| import.name == *name) {
            let path = [&import.path[..], &path[1..]].concat();
            return self.resolve(module, &import.inline, &path, depth + 1);
        }
        for import in names.imports.iter().filter(|import| import.name == "*") {
            let target = self.resolve(module, &import.inline, &import.path, depth + 1);
            if let Some(Target::Module(from)) = target {
                let (_, names) = &self.files[&from];
                let has = names.defined.contains(name)
                    || names.imports.iter().any(|import| import.name == *name);
                if has {
                    return self.item(&from, path, depth + 1);
                }
            }
        }
        // A macro made it.
        Some(Target::Item(module.to_vec()))
    }

    /// What each file needs.
    fn needs(&self) -> Needs {
        let mut needs = Needs::new();
        for (module, (path, names)) in &self.files {
            let mut found: Vec<(Option<Target>, usize, String)> = Vec::new();
            let passes_on = path.ends_with("/mod.rs") || path.ends_with("/lib.rs");
            for import in &names.imports {
                let target = self.resolve(module, &import.inline, &import.path, 0);
                let target = match target {
                    Some(Target::Module(all)) if import.name == "*" => Some(Target::Item(all)),
                    other => other,
                };
                let is_used =
                    !(import.is_public && passes_on) || names.bare.contains_key(&import.name);
                if is_used {
                    found.push((target, import.line, import.path.join("::")));
                }
            }
            for mention in &names.mentions {
                let target = self.resolve(module, &mention.inline, &mention.path, 0);
                found.push((target, mention.line, mention.path.join("::")));
            }
            for (name, line) in &names.called {
                let is_here = names.defined.contains(name)
                    || names.imports.iter().any(|import| import.name == *name);
                let above = (0..module.len()).rev().map(|length| &module[..length]);
                let home = above.filter(|above| {
                    !is_here
                        && self
                            .files
                            .get(*above)
                            .is_some_and(|(_, names)| names.macros.contains(name))
                });
                let target = home.take(1).map(|home| Target::Item(home.to_vec())).next();
                found.push((target, *line, format!("{name}!")));
            }
            let needed = needs.entry(path.clone()).or_default();
            for (target, line, what) in found {
                if let Some(Target::Item(other)) = target
                    && other != *module
                {
                    let (other, _) = &self.files[&other];
                    needed.entry(other.clone()).or_insert(format!("{path}:{line} names {what}"));
                }
            }
        }
        needs
    }
}

/// The path of a module within another.
fn child(module: &[String], name: &str) -> Vec<String> {
    [module, &[name.to_owned()]].concat()
}

/// The circles among these needs: for each need that lies on one, the shortest.
fn circles(needs: &Needs) -> Vec<String> {
    let mut found = BTreeSet::new();
    for (from, needed) in needs {
        for to in needed.keys() {
            if let Some(mut circle) = way(needs, to, from) {
                let first = (0..circle.len()).min_by_key(|at| circle[*at]).unwrap_or_default();
                circle.rotate_left(first);
                found.insert(circle);
            }
        }
    }
    let mut found: Vec<Vec<&str>> = found.into_iter().collect();
    found.sort_by_key(|circle| circle.len());
    let told = |circle: &Vec<&str>| {
        let mut text = circle.join(" → ");
        text.push_str(" → ");
        text.push_str(circle[0]);
        for (at, from) in circle.iter().enumerate() {
            text.push_str("\n    ");
            text.push_str(&needs[*from][circle[(at + 1) % circle.len()]]);
        }
        text
    };
    found.iter().map(told).collect()
}

/// The shortest way from one file to another along the needs, with both ends.
fn way<'a>(needs: &'a Needs, from: &'a str, to: &'a str) -> Option<Vec<&'a str>> {
    let mut came_from = BTreeMap::from([(from, from)]);
    let mut open = VecDeque::from([from]);
    while let Some(file) = open.pop_front() {
        if file == to {
            let mut way = vec![to];
            while let Some(before) = way.last().map(|last| came_from[last]) {
                if way.last() == Some(&from) {
                    break;
                }
                way.push(before);
            }
            way.reverse();
            return Some(way);
        }
        for next in needs.get(file).into_iter().flat_map(BTreeMap::keys) {
            if !came_from.contains_key(next.as_str()) {
                came_from.insert(next, file);
                open.push_back(next);
            }
        }
    }
    None
}

#[test]
fn there_is_no_circle_of_files() {
    let mut bad = Vec::new();
    for sources in SOURCES {
        bad.extend(circles(&Modules::new(sources, &files(sources.directory, "rs")).needs()));
    }
    assert!(bad.is_empty(), "circles of files:\n{}", bad.join("\n"));
}

/// The circles in a crate of these files, each as its first line.
fn circles_of(texts: &[(&str, &str)]) -> Vec<String> {
    let sources = Sources { directory: "src", crate_name: "planted" };
    let texts = texts.iter().map(|(path, text)| (format!("src/{path}"), (*text).to_owned()));
    let found = circles(&Modules::new(&sources, &texts.collect()).needs());
    found.iter().filter_map(|circle| circle.lines().next()).map(str::to_owned).collect()
}

#[test]
fn a_planted_circle_is_found() {
    const TWO: &str = "src/a.rs → src/b.rs → src/a.rs";
    const THREE: &str = "src/a.rs → src/b.rs → src/c.rs → src/a.rs";
    let lib = ("lib.rs", "mod a; mod b; mod c;");
    let in_folder = ("lib.rs", "pub mod room;");
    let check = |texts: &[(&str, &str)], expected: &str| {
        assert_eq!(circles_of(texts), [expected], "{texts:?}");
    };
    let a_needs_b = ("a.rs", "use crate::b::B; pub struct A(B);");
    // By each spelling of the way back.
    for back in [
        "use crate::a::A;",
        "use super::a::A;",
        "use super::{a::{A, Other}, c};",
        "use crate::{c, a::*};",
        "use planted::a::A;",
        "use crate::a::A as Renamed;",
        "use super::a; fn f() -> a::A {}",
        "use crate as root; fn f() { crate :: a\n:: f() }",
        "fn f() { super::a::f() }",
        "mod inner { use super::super::a::A; }",
        "fn f() -> Box<dyn crate::a::A> {}",
        "macro_rules! m { () => { $crate::a::f() } }",
    ] {
        check(&[lib, a_needs_b, ("b.rs", &format!("{back} pub struct B;")), ("c.rs", "")], TWO);
    }
    check(
        &[
            lib,
            a_needs_b,
            ("b.rs", "use super::c::C; pub struct B;"),
            ("c.rs", "use super::a::A; pub struct C;"),
        ],
        THREE,
    );
    // A name that another file passes on is its own file's.
    let passes_on = ("lib.rs", "mod a; mod b; mod c; pub use a::A; pub use c::*;");
    check(&[passes_on, a_needs_b, ("b.rs", "use crate::A; pub struct B;"), ("c.rs", "")], TWO);
    let glob = ("b.rs", "use crate::C; pub struct B;");
    check(&[passes_on, a_needs_b, glob, ("c.rs", "pub struct C; use crate::a::f;")], THREE);
    let room = ("room/mod.rs", "mod a; mod b; pub use a::A; pub use b::B;");
    check(
        &[
            in_folder,
            room,
            ("room/a.rs", "use super::B; pub struct A;"),
            ("room/b.rs", "use super::A; pub struct B;"),
        ],
        "src/room/a.rs → src/room/b.rs → src/room/a.rs",
    );
    // A folder's own file that uses its children's items and defines some for them.
    for uses in [
        "mod a; use a::A; pub struct Own(A);",
        "mod a; pub use a::A; pub struct Own(A);",
        "mod a; pub struct Own; fn f() { a::f() }",
    ] {
        check(
            &[in_folder, ("room/mod.rs", uses), ("room/a.rs", "use super::Own; pub struct A;")],
            "src/room/a.rs → src/room/mod.rs → src/room/a.rs",
        );
    }
    check(
        &[
            in_folder,
            ("room/mod.rs", "macro_rules! own { () => {} } mod a; fn f() { a::f() }"),
            ("room/a.rs", "own!();"),
        ],
        "src/room/a.rs → src/room/mod.rs → src/room/a.rs",
    );
}

#[test]
fn what_is_no_circle_is_not_taken_for_one() {
    let lib = ("lib.rs", "mod a; mod b; pub use a::A; pub use b::B;");
    let a_needs_b = ("a.rs", "use crate::b::B; pub struct A(B);");
    for b in [
        "pub struct B; // use crate::a::A;",
        "pub struct B; const S: &str = \"crate::a::A\";",
        "pub struct B; #[cfg(test)] use crate::a::A; fn f() {}",
        "pub struct B; #[cfg(test)] mod tests { use super::*; use crate::a::A; }",
        "pub(in crate::a) struct B;",
        "use std::a::A; pub struct B;",
        "pub struct B; fn f(b: B) { b.a::<u8>(); ::a::A::f(); }",
        "pub struct B; enum Own { A } use Own::A; fn f() { A }",
        "use super::b::f; pub struct B; pub fn f() { self::f() }",
    ] {
        assert_eq!(circles_of(&[lib, a_needs_b, ("b.rs", b)]), [""; 0], "{b}");
    }
    // Items of a folder's own file that uses nothing of its children.
    let room = ("room/mod.rs", "pub mod a; mod b; pub use b::B; pub struct Own;");
    let a = ("room/a.rs", "use super::{B, Own}; pub struct A;");
    let b = ("room/b.rs", "use crate::room::Own; pub struct B;");
    assert_eq!(circles_of(&[("lib.rs", "mod room;"), room, a, b]), [""; 0]);
}
