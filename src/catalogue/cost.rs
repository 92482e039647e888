//! The cost of an answer, exactly: tokens by their kind, and the fees of server tools.
use std::ops::Add;
use std::sync::Arc;

use jiff::civil::Date;

use crate::catalogue::billing::{Amount, Factor, Place};
use crate::catalogue::price::Rates;
use crate::catalogue::{Catalogue, Row};
use crate::wire::usage::Mode;
use crate::wire::{Spent, Usage};

/// The cost of an answer by kind. `total` is the sum of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Charge {
    /// Input without the cache.
    pub(crate) input: Amount,
    /// Writes to the cache.
    pub(crate) writes: Amount,
    /// Reads from the cache.
    pub(crate) reads: Amount,
    /// Output.
    pub(crate) output: Amount,
    /// Fees of server tools.
    pub(crate) fees: Amount,
    /// The tokens of models without a price; they are part of no amount.
    pub(crate) unpriced: u64,
}

impl Charge {
    /// Returns the whole amount.
    pub(crate) fn total(&self) -> Amount {
        self.input + self.writes + self.reads + self.output + self.fees
    }

    fn add(&mut self, other: Self) {
        self.input += other.input;
        self.writes += other.writes;
        self.reads += other.reads;
        self.output += other.output;
        self.fees += other.fees;
        self.unpriced = self.unpriced.saturating_add(other.unpriced);
    }
}

impl Add for Charge {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        Charge::add(&mut self, other);
        self
    }
}

/// The rates of one target's answers.
#[derive(Debug)]
pub(crate) struct Tariff {
    catalogue: Arc<Catalogue>,
    /// The family of the target's provider.
    family: Option<Box<str>>,
    /// The row of the target's model.
    row: Option<Arc<Row>>,
    /// The place where the target runs the model.
    place: Place,
}

impl Tariff {
    /// Returns the tariff of a target's model.
    pub(crate) fn new(
        catalogue: &Arc<Catalogue>,
        family: Option<&str>,
        row: Option<&Arc<Row>>,
        place: Place,
    ) -> Self {
        let catalogue = Arc::clone(catalogue);
        Self { catalogue, family: family.map(Into::into), row: row.cloned(), place }
    }

    /// Returns the cost of an answer on a day.
    pub(crate) fn charge(&self, spent: &Spent, day: Date) -> Charge {
        let own = self.row.as_deref();
        let mut charge = match spent.iterations.as_slice() {
            [] => self.tokens(own, spent.tokens, spent.mode, day),
            iterations => iterations.iter().fold(Charge::default(), |sum, one| {
                let named = one.model.as_deref();
                let row = match named {
                    Some(model) => {
                        self.catalogue.find(self.family.as_deref(), model).map(|row| &**row)
                    }
                    None => own,
                };
                sum + self.tokens(row, one.tokens, one.service.over(spent.mode), day)
            }),
        };
        if let Some(row) = own {
            charge.fees += self.catalogue.billing(&row.provider).fees.of(spent);
        }
        charge
    }

    /// Returns the amount by which an answer would have been cheaper on a day if its upstream had read more tokens from
    /// the cache, at most `tokens`.
    pub(crate) fn lost(&self, spent: &Spent, tokens: u64, day: Date) -> Amount {
        let paid = self.charge(spent, day).total();
        paid.saturating_sub(self.charge(&spent.reading(tokens), day).total())
    }

    fn tokens(&self, row: Option<&Row>, tokens: Usage, mode: Mode, day: Date) -> Charge {
        let period = row.and_then(|row| Some((row, row.price.as_ref()?.on(day)?)));
        let Some((row, period)) = period else {
            let unpriced = tokens.prompt().saturating_add(tokens.output);
            return Charge { unpriced, ..Charge::default() };
        };
        let factors =
            row.factors.or(self.catalogue.billing(&row.provider).factors).of(mode, self.place);
        priced(tokens, period.rates(tokens.prompt()), factors)
    }
}

fn priced(tokens: Usage, rates: Rates, factors: [Factor; 3]) -> Charge {
    let hour = tokens.cache_write_1h;
    // a write without a duration is one for minutes
    let minutes = tokens.written().saturating_sub(hour);
    Charge {
        input: Amount::of(rates.input, tokens.input).times(factors),
        writes: (Amount::of(rates.write(), minutes) + Amount::of(rates.write_1h(), hour))
            .times(factors),
        reads: Amount::of(rates.read(), tokens.cache_read).times(factors),
        output: Amount::of(rates.output, tokens.output).times(factors),
        fees: Amount::default(),
        unpriced: 0,
    }
}

#[cfg(test)]
mod tests;
