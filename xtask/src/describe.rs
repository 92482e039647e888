//! A plugin's manifest, without a gateway: runs `describe` of a core module in an interpreter.
//!
//! `tidegate plugin build` asks the real host. Here the plugins come first, and the gateway takes
//! minutes to build.
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use wasmi::{
    Caller, Engine, Extern, ExternType, Func, Linker, Memory, Module, Store, TypedFunc, Val,
};

const HOST: &str = "tidegate:plugin/host@0.1.0";
/// What `config` says while a plugin is built.
const NO_CONFIG: &[u8] = b"null";

/// The JSON text that `describe` gives.
pub fn manifest(module: &Path) -> Result<String> {
    let wasm = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let engine = Engine::default();
    let module = Module::new(&engine, &wasm)?;
    let mut store = Store::new(&engine, ());
    let linker = link(&module, &engine, &mut store)?;
    let instance = linker.instantiate_and_start(&mut store, &module)?;
    let describe: TypedFunc<(), u32> = instance.get_typed_func(&store, "describe")?;
    let answer = describe.call(&mut store, ())?;
    let memory = instance.get_memory(&store, "memory").context("it has no memory")?;
    read_answer(memory.data(&store), answer as usize)
}

/// `result<string, problem>` as it lies in memory: which of the two, then the text; of a problem its
/// code and its message.
fn read_answer(memory: &[u8], at: usize) -> Result<String> {
    let outside = || anyhow!("`describe` points outside of its memory");
    let word = |at: usize| {
        let bytes = memory.get(at..at + 4).ok_or_else(outside)?;
        Ok::<_, anyhow::Error>(u32::from_le_bytes(bytes.try_into()?) as usize)
    };
    let text = |at: usize| {
        let (start, length) = (word(at)?, word(at + 4)?);
        let bytes = memory.get(start..start + length).ok_or_else(outside)?;
        Ok::<_, anyhow::Error>(String::from_utf8(bytes.to_vec())?)
    };
    match memory.get(at).ok_or_else(outside)? {
        0 => text(at + 4),
        _ => bail!("`describe`: {}", text(at + 12)?),
    }
}

/// The few imports that `describe` may use; what else is called ends it.
fn link(module: &Module, engine: &Engine, store: &mut Store<()>) -> Result<Linker<()>> {
    let mut linker = Linker::new(engine);
    for import in module.imports() {
        let ExternType::Func(kind) = import.ty() else {
            bail!("imports `{}`, which is no function", import.name());
        };
        let name = format!("{}.{}", import.module(), import.name());
        let is_host = import.module() == HOST;
        let function = match import.name() {
            "config" if is_host => Func::wrap(&mut *store, config),
            "clock" if is_host => Func::wrap(&mut *store, || 0u64),
            "log" if is_host => Func::wrap(&mut *store, log),
            _ => Func::new(&mut *store, kind.clone(), move |_, _: &[Val], _: &mut [Val]| {
                Err(wasmi::Error::new(format!("`describe` calls `{name}`")))
            }),
        };
        linker.define(import.module(), import.name(), function)?;
    }
    Ok(linker)
}

/// Returns a text: its place and its length go where the caller says.
fn config(mut caller: Caller<'_, ()>, place: u32) -> Result<(), wasmi::Error> {
    let missing = || wasmi::Error::new("the module has no `memory` or `cabi_realloc`");
    let Some(Extern::Func(allocate)) = caller.get_export("cabi_realloc") else {
        return Err(missing());
    };
    let memory = memory_of(&caller).ok_or_else(missing)?;
    let allocate = allocate.typed::<(u32, u32, u32, u32), u32>(&caller)?;
    let length = NO_CONFIG.len() as u32;
    let start = allocate.call(&mut caller, (0, 0, 1, length))?;
    let wrong = |error| wasmi::Error::new(format!("{error}"));
    memory.write(&mut caller, start as usize, NO_CONFIG).map_err(wrong)?;
    let told = [start.to_le_bytes(), length.to_le_bytes()].concat();
    memory.write(&mut caller, place as usize, &told).map_err(wrong)
}

/// The text of a panic, most likely.
fn log(caller: Caller<'_, ()>, _level: u32, start: u32, length: u32) {
    let range = start as usize..(start as usize).saturating_add(length as usize);
    let text = memory_of(&caller).and_then(|memory| memory.data(&caller).get(range));
    eprintln!("    {}", String::from_utf8_lossy(text.unwrap_or_default()));
}

fn memory_of(caller: &Caller<'_, ()>) -> Option<Memory> {
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Some(memory),
        _ => None,
    }
}
