//! Circles in a graph of modules: which modules hang together, and the shortest way around.
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::imports::Edges;
use super::outline::Names;

/// Every knot of modules that use each other, one message each: the shortest circle in it, with the names that
/// make each of its steps.
pub fn cycles(edges: &Edges<'_>) -> Vec<String> {
    let reach: BTreeMap<&Names, BTreeSet<&Names>> =
        edges.keys().map(|module| (*module, reachable(edges, module))).collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (module, reached) in &reach {
        if !reached.contains(module) || seen.contains(module) {
            continue;
        }
        let is_back = |other: &&&Names| reach.get(**other).is_some_and(|all| all.contains(module));
        let knot: BTreeSet<&Names> = reached.iter().filter(is_back).copied().collect();
        seen.extend(knot.iter().copied());
        found.push(message(edges, &knot));
    }
    found
}

fn reachable<'a>(edges: &Edges<'a>, from: &Names) -> BTreeSet<&'a Names> {
    let mut reached = BTreeSet::new();
    let mut queue = vec![from];
    while let Some(module) = queue.pop() {
        for next in edges.get(module).into_iter().flatten().map(|(next, _)| *next) {
            if reached.insert(next) {
                queue.push(next);
            }
        }
    }
    reached
}

/// From a module back to itself in as few steps as there are.
fn shortest<'a>(edges: &Edges<'a>, start: &'a Names) -> Vec<&'a Names> {
    let mut before: BTreeMap<&Names, &'a Names> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(module) = queue.pop_front() {
        for next in edges.get(module).into_iter().flatten().map(|(next, _)| *next) {
            before.entry(next).or_insert_with(|| {
                queue.push_back(next);
                module
            });
        }
        if before.contains_key(start) {
            break;
        }
    }
    let mut way = vec![start];
    while let Some(previous) = before.get(way[way.len() - 1]) {
        way.push(previous);
        if *previous == start {
            break;
        }
    }
    way.reverse();
    way
}

fn message(edges: &Edges<'_>, knot: &BTreeSet<&Names>) -> String {
    let circles = knot.iter().map(|module| shortest(edges, module));
    let circle = circles.min_by_key(Vec::len).unwrap_or_default();
    let names: Vec<String> = circle.iter().map(|module| shown(module)).collect();
    let mut message = format!("import cycle: {}", names.join(" -> "));
    for step in circle.windows(2) {
        let used: Vec<&str> = edges[step[0]][step[1]].iter().map(|path| short(path)).collect();
        let (from, to) = (shown(step[0]), shown(step[1]));
        message.push_str(&format!("\n    {from} uses of {to}: {}", used.join(", ")));
    }
    if knot.len() + 1 > circle.len() {
        let all: Vec<String> = knot.iter().map(|module| shown(module)).collect();
        message.push_str(&format!("\n    {} modules in this knot: {}", all.len(), all.join(", ")));
    }
    message
}

/// `policy::stage`; the root is `crate`.
fn shown(module: &Names) -> String {
    if module.len() == 1 { module[0].clone() } else { module[1..].join("::") }
}

fn short(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}
