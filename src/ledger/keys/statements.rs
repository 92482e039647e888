//! The statements of the key store.
use crate::auth::keys::{Digest, NewKey};
use crate::auth::settings::KeySettings;
use crate::auth::stored::Use;
use crate::ledger::database::Argument;
use crate::ledger::keys::link::{Link, Texts};
use crate::ledger::keys::stored::{KeyFault, StoredKey};
use crate::ledger::schema::Dialect;

/// The channel of PostgreSQL that wakes the other gateways.
pub(super) const CHANNEL: &str = "tidegate_keys";

/// The most uses that one statement writes.
const PORTION: usize = 1000;

/// All keys of one moment, by name.
pub(super) struct Loaded {
    pub(super) generation: u64,
    pub(super) keys: Vec<(Digest, StoredKey)>,
}

/// A change of a key's settings.
pub(super) struct Change<'a> {
    pub(super) id: &'a str,
    pub(super) known: u64,
    pub(super) version: u64,
    pub(super) settings: &'a KeySettings,
}

/// Returns the store's generation.
pub(super) async fn generation(link: &mut Link) -> Result<u64, sqlx::Error> {
    let rows = link.query("SELECT CAST(generation AS TEXT) FROM key_generation", &[]).await?;
    number(rows.first().and_then(|row| row.first()))
}

/// Returns all keys. One statement sees one moment.
pub(super) async fn load(link: &mut Link) -> Result<Loaded, sqlx::Error> {
    const LOAD: &str = "SELECT CAST(g.generation AS TEXT), k.id, k.digest, k.name, k.hint, k.created, k.settings, \
         CAST(k.version AS TEXT), CAST(k.last_used AS TEXT) FROM key_generation g LEFT JOIN client_key k ON true ORDER BY k.name";
    let rows = link.query(LOAD, &[]).await?;
    let generation = number(rows.first().and_then(|row| row.first()))?;
    let mut keys = Vec::new();
    for row in rows {
        match key(row) {
            Ok(Some(key)) => keys.push(key),
            Ok(None) => {}
            // such as a key of a newer Tidegate: the others count
            Err(error) => {
                tracing::error!(error = %error, "a key of the key store is refused, since it cannot be read")
            }
        }
    }
    Ok(Loaded { generation, keys })
}

/// Begins a change. Returns the generation that the store has afterwards. Changes of several gateways wait for each other
/// here.
pub(super) async fn begin(link: &mut Link) -> Result<u64, sqlx::Error> {
    link.begin().await?;
    let next =
        "UPDATE key_generation SET generation = generation + 1 RETURNING CAST(generation AS TEXT)";
    let rows = link.query(next, &[]).await?;
    number(rows.first().and_then(|row| row.first()))
}

/// Inserts a key.
pub(super) async fn insert(
    link: &mut Link,
    key: &StoredKey,
    new: &NewKey,
) -> Result<(), sqlx::Error> {
    const INSERT: &str = "INSERT INTO client_key (id, digest, name, hint, created, settings, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let (settings, digest) = (json(&key.settings)?, hex::encode(new.digest));
    let name = &key.settings.name;
    let texts = [&key.id, &digest, name, &key.hint, &key.created, &settings];
    let texts = texts.map(|text| Argument::Text(text.clone()));
    let arguments = [&texts[..], &[version(key.version)]].concat();
    link.query(INSERT, &arguments).await.map(drop)
}

/// Changes a key of a known version. Returns whether there was one.
pub(super) async fn update(link: &mut Link, change: &Change<'_>) -> Result<bool, sqlx::Error> {
    const UPDATE: &str = "UPDATE client_key SET name = $1, settings = $2, version = $3 \
         WHERE id = $4 AND version = $5 RETURNING id";
    let arguments = [
        Argument::Text(change.settings.name.clone()),
        Argument::Text(json(change.settings)?),
        version(change.version),
        Argument::Text(change.id.to_owned()),
        version(change.known),
    ];
    Ok(!link.query(UPDATE, &arguments).await?.is_empty())
}

/// Deletes a key of a known version. Returns whether there was one.
pub(super) async fn delete(link: &mut Link, id: &str, known: u64) -> Result<bool, sqlx::Error> {
    const DELETE: &str = "DELETE FROM client_key WHERE id = $1 AND version = $2 RETURNING id";
    Ok(!link.query(DELETE, &[Argument::Text(id.to_owned()), version(known)]).await?.is_empty())
}

/// Notes the last uses of keys. Another gateway may know of later ones.
pub(super) async fn write_uses(link: &mut Link, uses: &[Use]) -> Result<(), sqlx::Error> {
    link.begin().await?;
    let update = match link.dialect() {
        Dialect::Sqlite => {
            "UPDATE client_key SET last_used = u.at FROM \
             (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS at FROM json_each($1)) u \
             WHERE client_key.id = u.id AND (client_key.last_used IS NULL OR client_key.last_used < u.at)"
        }
        Dialect::Postgres => {
            // gateways that write at the same time would wait for each other's rows
            link.query("SELECT CAST(generation AS TEXT) FROM key_generation FOR UPDATE", &[])
                .await?;
            "UPDATE client_key SET last_used = u.at FROM \
             (SELECT value->>0 AS id, CAST(value->>1 AS BIGINT) AS at FROM jsonb_array_elements(CAST($1 AS JSONB))) u \
             WHERE client_key.id = u.id AND (client_key.last_used IS NULL OR client_key.last_used < u.at)"
        }
    };
    for uses in uses.chunks(PORTION) {
        let rows: Vec<_> = uses.iter().map(|used| (&used.id, used.second)).collect();
        let rows = serde_json::to_string(&rows).map_err(|e| sqlx::Error::Encode(e.into()))?;
        link.query(update, &[Argument::Text(rows)]).await?;
    }
    Ok(())
}

/// Returns the reason for which no key was changed.
pub(super) async fn unchanged(link: &mut Link, id: &str) -> Result<KeyFault, sqlx::Error> {
    let id = Argument::Text(id.to_owned());
    let found = link.query("SELECT id FROM client_key WHERE id = $1", &[id]).await?;
    Ok(if found.is_empty() { KeyFault::Unknown } else { KeyFault::Outdated })
}

/// Wakes the other gateways at the end of the transaction, if the database can.
pub(super) async fn notify(link: &mut Link, generation: u64) -> Result<(), sqlx::Error> {
    if let Link::Postgres(_) = link {
        let notify = "SELECT CAST(pg_notify($1, $2) AS TEXT)";
        let arguments = [CHANNEL.to_owned(), generation.to_string()].map(Argument::Text);
        link.query(notify, &arguments).await?;
    }
    Ok(())
}

/// Reads a row of [`load`]; `None` for the row of a store without keys.
fn key(row: Texts) -> Result<Option<(Digest, StoredKey)>, sqlx::Error> {
    let Ok([_, id, digest, name, hint, created, settings, version, last_used]) =
        <[Option<String>; 9]>::try_from(row)
    else {
        return Err(odd("a row has other columns"));
    };
    let Some(id) = id else { return Ok(None) };
    let mut bytes = Digest::default();
    hex::decode_to_slice(digest.unwrap_or_default(), &mut bytes)
        .map_err(|_| odd("a digest is no hex text"))?;
    let settings: KeySettings = serde_json::from_str(&settings.unwrap_or_default())
        .map_err(|e| odd(&format!("the settings of key `{id}` cannot be read: {e}")))?;
    let stored = StoredKey {
        id,
        hint: hint.unwrap_or_default(),
        created: created.unwrap_or_default(),
        version: number(Some(&version))?,
        last_used: last_used.and_then(|second| second.parse().ok()),
        settings: KeySettings { name: name.unwrap_or_default(), ..settings },
    };
    Ok(Some((bytes, stored)))
}

/// Returns the argument for a version, which counts from 1.
fn version(number: u64) -> Argument {
    Argument::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

fn json(settings: &KeySettings) -> Result<String, sqlx::Error> {
    serde_json::to_string(settings).map_err(|e| sqlx::Error::Encode(e.into()))
}

fn number(text: Option<&Option<String>>) -> Result<u64, sqlx::Error> {
    let text = text.and_then(Option::as_deref).unwrap_or_default();
    text.parse().map_err(|_| odd("a number cannot be read"))
}

fn odd(message: &str) -> sqlx::Error {
    sqlx::Error::Protocol(format!("the tables of the key store are damaged: {message}"))
}
