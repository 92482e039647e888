//! A plugin that breaks every rule for plugins, for the tests of the host.
use tidegate_sdk::prelude::*;

struct Unruly;

#[derive(Deserialize, JsonSchema)]
struct Much {
    bytes: usize,
}

#[derive(Deserialize, JsonSchema)]
struct Say {
    text: String,
}

impl Plugin for Unruly {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Self> {
        Ok(Self)
    }

    fn tools() -> Vec<Tool<Self>> {
        vec![
            Tool::new("panic", "Panics.", |_: &Self, say: Say, _: NoOptions| -> Result<String> {
                panic!("{}", say.text)
            }),
            Tool::new(
                "spin",
                "Never ends.",
                |_: &Self, _: NoInput, _: NoOptions| -> Result<String> {
                    let mut n = 0u64;
                    loop {
                        n = std::hint::black_box(n.wrapping_add(1));
                    }
                },
            ),
            Tool::new("eat", "Eats memory.", |_: &Self, _: NoInput, _: NoOptions| {
                Ok(eat().len().to_string())
            }),
            Tool::new("recurse", "Overflows the stack.", |_: &Self, _: NoInput, _: NoOptions| {
                Ok(recurse(1).to_string())
            }),
            Tool::new(
                "refuse",
                "Reports a problem.",
                |_: &Self, say: Say, _: NoOptions| -> Result<String> {
                    Err(Problem::unavailable(say.text))
                },
            ),
            Tool::new("echo", "Says what it was told.", |_: &Self, say: Say, _: NoOptions| {
                Ok(say.text)
            }),
            Tool::new("boast", "Says too much.", |_: &Self, much: Much, _: NoOptions| {
                Ok("x".repeat(much.bytes))
            }),
            Tool::new("churn", "Allocates and frees.", |_: &Self, _: NoInput, _: NoOptions| {
                let mut sum = 0usize;
                for n in 0..20_000usize {
                    let held = std::hint::black_box(vec![n as u8; 10_000]);
                    sum += held.len();
                }
                Ok(sum.to_string())
            }),
        ]
    }
}

fn eat() -> Vec<Vec<u8>> {
    let mut eaten = Vec::new();
    while std::hint::black_box(&eaten).len() < 1 << 20 {
        eaten.push(vec![1; 1 << 20]);
    }
    eaten
}

fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { recurse(depth + 1) + frame[(depth % 64) as usize] }
}

tidegate_sdk::export!(Unruly);
