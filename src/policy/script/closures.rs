//! Rhai's functions of arrays and maps that call a function of the script, in place of Rhai's own.
//!
//! Rhai's own make an error of the function one that `try` catches, even if the script was stopped or
//! exceeded a limit; those that compare elements lose errors altogether.
use std::cmp::Ordering;

use rhai::{
    Array, Dynamic, Engine, EvalAltResult, FnPtr, FuncRegistration, Map, NativeCallContext,
};

use crate::policy::script::error::{AuthorError, ScriptResult};

type Ctx<'a> = NativeCallContext<'a>;

/// Registers the functions with an engine.
pub(super) fn register(engine: &mut Engine) {
    visits(engine);
    searches(engine);
    folds(engine);
    orders(engine);
    removals(engine);
    over_maps(engine);
}

/// Calls a function of the script for one element, which is `this` or a parameter. A stop and the error of
/// a limit pass every `try`.
fn call<const N: usize, const E: usize>(
    ctx: &Ctx<'_>,
    act: &FnPtr,
    item: Item<'_>,
    args: [Dynamic; N],
    extras: [Dynamic; E],
) -> ScriptResult {
    let Item { value, at } = item;
    act.call_raw_with_extra_args(ctx.fn_name(), ctx, Some(value), args, extras, at)
        .map_err(uncaught)
}

/// The element of a call.
struct Item<'a> {
    value: &'a mut Dynamic,
    /// Its position among the parameters of a function that does not use `this`.
    at: Option<usize>,
}

impl<'a> Item<'a> {
    fn first(value: &'a mut Dynamic) -> Self {
        Self { value, at: Some(0) }
    }

    fn second(value: &'a mut Dynamic) -> Self {
        Self { value, at: Some(1) }
    }
}

/// Returns the innermost error if no `try` may catch it.
fn uncaught(error: Box<EvalAltResult>) -> Box<EvalAltResult> {
    if error.unwrap_inner().is_catchable() { error } else { innermost(*error).into() }
}

fn innermost(error: EvalAltResult) -> EvalAltResult {
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _)
        | EvalAltResult::ErrorInModule(_, inner, _) => innermost(*inner),
        other => other,
    }
}

fn is_true(value: &Dynamic) -> bool {
    value.as_bool().unwrap_or_default()
}

fn number(index: usize) -> Dynamic {
    Dynamic::from_int(i64::try_from(index).unwrap_or(i64::MAX))
}

/// Calls a function for one element and its index.
fn visit(ctx: &Ctx<'_>, act: &FnPtr, index: usize, item: &mut Dynamic) -> ScriptResult {
    call(ctx, act, Item::first(item), [], [number(index)])
}

fn visits(engine: &mut Engine) {
    engine
        .register_fn(
            "for_each",
            |ctx: Ctx<'_>, array: &mut Array, act: FnPtr| -> ScriptResult<()> {
                for (n, value) in array.iter_mut().enumerate() {
                    drop(call(&ctx, &act, Item { value, at: None }, [], [number(n)])?);
                }
                Ok(())
            },
        )
        .register_fn("map", |ctx: Ctx<'_>, array: &mut Array, act: FnPtr| -> ScriptResult<Array> {
            let items = array.iter_mut().enumerate();
            items.map(|(n, item)| visit(&ctx, &act, n, item)).collect()
        })
        .register_fn(
            "filter",
            |ctx: Ctx<'_>, array: &mut Array, test: FnPtr| -> ScriptResult<Array> {
                let mut kept = Array::new();
                for (n, item) in array.iter_mut().enumerate() {
                    if is_true(&visit(&ctx, &test, n, item)?) {
                        kept.push(item.clone());
                    }
                }
                Ok(kept)
            },
        )
        .register_fn(
            "zip",
            |ctx: Ctx<'_>, one: &mut Array, other: Array, act: FnPtr| -> ScriptResult<Array> {
                let pairs = one.iter().cloned().zip(other).enumerate();
                let join = |(n, (a, b)): (usize, (Dynamic, Dynamic))| {
                    let name = ctx.fn_name();
                    act.call_raw_with_extra_args(name, &ctx, None, [a, b], [number(n)], None)
                        .map_err(uncaught)
                };
                pairs.map(join).collect()
            },
        );
}

fn searches(engine: &mut Engine) {
    engine
        .register_fn("some", |ctx: Ctx<'_>, array: &mut Array, test: FnPtr| -> ScriptResult<bool> {
            Ok(position(&ctx, array, &test, 0)?.is_some())
        })
        .register_fn("all", |ctx: Ctx<'_>, array: &mut Array, test: FnPtr| -> ScriptResult<bool> {
            for (n, item) in array.iter_mut().enumerate() {
                if !is_true(&visit(&ctx, &test, n, item)?) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .register_fn("index_of", |ctx: Ctx<'_>, array: &mut Array, test: FnPtr| {
            index_of(&ctx, array, &test, 0)
        })
        .register_fn("index_of", |ctx: Ctx<'_>, array: &mut Array, test: FnPtr, start: i64| {
            index_of(&ctx, array, &test, start)
        })
        .register_fn("find", |ctx: Ctx<'_>, array: &mut Array, test: FnPtr| {
            find(&ctx, array, &test, 0)
        })
        .register_fn("find", |ctx: Ctx<'_>, array: &mut Array, test: FnPtr, start: i64| {
            find(&ctx, array, &test, start)
        })
        .register_fn("find_map", |ctx: Ctx<'_>, array: &mut Array, act: FnPtr| {
            find_map(&ctx, array, &act, 0)
        })
        .register_fn("find_map", |ctx: Ctx<'_>, array: &mut Array, act: FnPtr, start: i64| {
            find_map(&ctx, array, &act, start)
        });
}

/// Returns the number of elements before `start`. A negative `start` counts from the end.
fn before(array: &Array, start: i64) -> usize {
    let start = if start < 0 { start.saturating_add_unsigned(array.len() as u64) } else { start };
    usize::try_from(start).unwrap_or_default()
}

fn position(
    ctx: &Ctx<'_>,
    array: &mut Array,
    test: &FnPtr,
    start: i64,
) -> ScriptResult<Option<usize>> {
    let start = before(array, start);
    for (n, item) in array.iter_mut().enumerate().skip(start) {
        if is_true(&visit(ctx, test, n, item)?) {
            return Ok(Some(n));
        }
    }
    Ok(None)
}

fn index_of(ctx: &Ctx<'_>, array: &mut Array, test: &FnPtr, start: i64) -> ScriptResult<i64> {
    Ok(position(ctx, array, test, start)?.map_or(-1, |n| n as i64))
}

fn find(ctx: &Ctx<'_>, array: &mut Array, test: &FnPtr, start: i64) -> ScriptResult {
    let found = position(ctx, array, test, start)?;
    Ok(found.and_then(|n| array.get(n).cloned()).unwrap_or_default())
}

fn find_map(ctx: &Ctx<'_>, array: &mut Array, act: &FnPtr, start: i64) -> ScriptResult {
    let start = before(array, start);
    for (n, item) in array.iter_mut().enumerate().skip(start) {
        let value = visit(ctx, act, n, item)?;
        if !value.is_unit() {
            return Ok(value);
        }
    }
    Ok(Dynamic::UNIT)
}

fn folds(engine: &mut Engine) {
    engine
        .register_fn("reduce", |ctx: Ctx<'_>, array: &mut Array, step: FnPtr| {
            reduce(&ctx, &step, Dynamic::UNIT, array.iter_mut().enumerate())
        })
        .register_fn("reduce", |ctx: Ctx<'_>, array: &mut Array, step: FnPtr, first: Dynamic| {
            reduce(&ctx, &step, first, array.iter_mut().enumerate())
        })
        .register_fn("reduce_rev", |ctx: Ctx<'_>, array: &mut Array, step: FnPtr| {
            reduce(&ctx, &step, Dynamic::UNIT, array.iter_mut().enumerate().rev())
        })
        .register_fn(
            "reduce_rev",
            |ctx: Ctx<'_>, array: &mut Array, step: FnPtr, first: Dynamic| {
                reduce(&ctx, &step, first, array.iter_mut().enumerate().rev())
            },
        );
}

fn reduce<'a>(
    ctx: &Ctx<'_>,
    step: &FnPtr,
    first: Dynamic,
    mut items: impl Iterator<Item = (usize, &'a mut Dynamic)>,
) -> ScriptResult {
    items.try_fold(first, |sum, (n, item)| call(ctx, step, Item::second(item), [sum], [number(n)]))
}

fn orders(engine: &mut Engine) {
    for name in ["sort", "sort_by"] {
        changing(name).register_into_engine(
            engine,
            |ctx: Ctx<'_>, array: &mut Array, compare: FnPtr| -> ScriptResult<()> {
                *array = sorted(&ctx, array.clone(), &compare)?;
                Ok(())
            },
        );
    }
    for name in ["order", "order_by"] {
        engine.register_fn(name, |ctx: Ctx<'_>, array: &mut Array, compare: FnPtr| {
            sorted(&ctx, array.clone(), &compare)
        });
    }
    changing("dedup").register_into_engine(
        engine,
        |ctx: Ctx<'_>, array: &mut Array, is_same: FnPtr| -> ScriptResult<()> {
            dedup(array, |one, other| {
                let both = [one.clone(), other.clone()];
                Ok(is_true(&is_same.call_raw(&ctx, None, both).map_err(uncaught)?))
            })
        },
    );
    changing("dedup").register_into_engine(
        engine,
        |ctx: Ctx<'_>, array: &mut Array| -> ScriptResult<()> {
            dedup(array, |one, other| equal(&ctx, one, other))
        },
    );
}

/// Registers a function that a constant array or map does not have.
fn changing(name: &str) -> FuncRegistration {
    FuncRegistration::new(name).with_purity(false)
}

/// Sorts by a function of the script: by halves, so that the first error ends it, and any answers of the
/// function give some order.
fn sorted(ctx: &Ctx<'_>, mut items: Array, compare: &FnPtr) -> ScriptResult<Array> {
    if items.len() < 2 {
        return Ok(items);
    }
    let right = items.split_off(items.len() / 2);
    let left = sorted(ctx, items, compare)?;
    let right = sorted(ctx, right, compare)?;
    let mut all = Array::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
        let next = match compared(ctx, compare, one, other)? {
            Ordering::Greater => right.next(),
            Ordering::Less | Ordering::Equal => left.next(),
        };
        all.extend(next);
    }
    all.extend(left);
    all.extend(right);
    Ok(all)
}

/// Returns the order that a function of the script gives: a number, or whether the first comes first.
fn compared(
    ctx: &Ctx<'_>,
    compare: &FnPtr,
    one: &Dynamic,
    other: &Dynamic,
) -> ScriptResult<Ordering> {
    let both = [one.clone(), other.clone()];
    let order = compare.call_raw(ctx, None, both).map_err(uncaught)?;
    if let Ok(number) = order.as_int() {
        return Ok(number.cmp(&0));
    }
    match order.as_bool() {
        Ok(true) => Ok(Ordering::Less),
        Ok(false) => Ok(Ordering::Greater),
        Err(kind) => Err(AuthorError(format!(
            "the function given to `{}` must return a number or a boolean, not a value of type `{kind}`",
            ctx.fn_name()
        ))
        .into()),
    }
}

/// Compares two elements as `==` does: values of different types without such a comparison differ.
fn equal(ctx: &Ctx<'_>, one: &Dynamic, other: &Dynamic) -> ScriptResult<bool> {
    let same_type = one.type_id() == other.type_id();
    let (mut one, mut other) = (one.clone(), other.clone());
    match ctx.call_native_fn_raw("==", true, &mut [&mut one, &mut other]) {
        Ok(equal) => Ok(is_true(&equal)),
        Err(error) => match *error {
            EvalAltResult::ErrorFunctionNotFound(..) if !same_type => Ok(false),
            error => Err(uncaught(error.into())),
        },
    }
}

/// Removes each element that is the same as the one before it.
fn dedup(
    array: &mut Array,
    mut is_same: impl FnMut(&Dynamic, &Dynamic) -> ScriptResult<bool>,
) -> ScriptResult<()> {
    let mut kept = Array::with_capacity(array.len());
    for item in array.iter() {
        let is_again = match kept.last() {
            Some(last) => is_same(last, item)?,
            None => false,
        };
        if !is_again {
            kept.push(item.clone());
        }
    }
    *array = kept;
    Ok(())
}

fn removals(engine: &mut Engine) {
    changing("drain").register_into_engine(
        engine,
        |ctx: Ctx<'_>, array: &mut Array, test: FnPtr| -> ScriptResult<Array> {
            let (taken, left) = parted(&ctx, array, &test)?;
            *array = left;
            Ok(taken)
        },
    );
    changing("retain").register_into_engine(
        engine,
        |ctx: Ctx<'_>, array: &mut Array, test: FnPtr| -> ScriptResult<Array> {
            let (kept, removed) = parted(&ctx, array, &test)?;
            *array = kept;
            Ok(removed)
        },
    );
}

/// Returns the elements for which `test` is true, and the others.
fn parted(ctx: &Ctx<'_>, array: &mut Array, test: &FnPtr) -> ScriptResult<(Array, Array)> {
    let (mut fit, mut others) = (Array::new(), Array::new());
    for (n, item) in array.iter_mut().enumerate() {
        match is_true(&visit(ctx, test, n, item)?) {
            true => fit.push(item.clone()),
            false => others.push(item.clone()),
        }
    }
    Ok((fit, others))
}

fn over_maps(engine: &mut Engine) {
    engine
        .register_fn("map", |ctx: Ctx<'_>, map: &mut Map, act: FnPtr| -> ScriptResult<Map> {
            let members = map.iter_mut();
            let changed = members.map(|(key, value)| {
                let new = call(&ctx, &act, Item::second(value), [key.into()], [])?;
                Ok((key.clone(), new))
            });
            changed.collect()
        })
        .register_fn("filter", |ctx: Ctx<'_>, map: &mut Map, test: FnPtr| -> ScriptResult<Map> {
            Ok(members(&ctx, map, &test)?.0)
        });
    changing("drain").register_into_engine(
        engine,
        |ctx: Ctx<'_>, map: &mut Map, test: FnPtr| -> ScriptResult<Map> {
            let (taken, left) = members(&ctx, map, &test)?;
            *map = left;
            Ok(taken)
        },
    );
    changing("retain").register_into_engine(
        engine,
        |ctx: Ctx<'_>, map: &mut Map, test: FnPtr| -> ScriptResult<Map> {
            let (kept, removed) = members(&ctx, map, &test)?;
            *map = kept;
            Ok(removed)
        },
    );
}

/// Returns the members for which `test` is true, and the others.
fn members(ctx: &Ctx<'_>, map: &mut Map, test: &FnPtr) -> ScriptResult<(Map, Map)> {
    let (mut fit, mut others) = (Map::new(), Map::new());
    for (key, value) in map.iter_mut() {
        let is_fit = is_true(&call(ctx, test, Item::second(value), [key.into()], [])?);
        let part = if is_fit { &mut fit } else { &mut others };
        part.insert(key.clone(), value.clone());
    }
    Ok((fit, others))
}
