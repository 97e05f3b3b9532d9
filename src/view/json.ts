/** Documents for `--json`. */

// Allowed in JSON, but not safe on a terminal: what src/text.ts escapes in text.
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/**
 * Writes a document so that it means the same to every parser and nothing to a terminal.
 *
 * @param indent blanks a level; 0 writes one line
 */
export function formatJSON(document: unknown, indent = 2): string {
  return JSON.stringify(document, null, indent).replace(unprintable, (character) =>
    character === '\n' ? character : escapeUnits(character),
  )
}

/**
 * Parses a document of an archive so that {@link formatJSON} gives back the same numbers: limits of old configs do not fit
 * a double.
 */
export function parseExact(text: string): unknown {
  return parse(text, (_key, value, context) =>
    typeof value === 'number' && !Number.isSafeInteger(value) ? rawJSON(context.source) : value,
  )
}

function escapeUnits(character: string): string {
  return character.replace(/./gs, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

// Both are newer than the types that the compiler knows.
type Reviver = (key: string, value: unknown, context: {readonly source: string}) => unknown
const parse = JSON.parse as (text: string, reviver: Reviver) => unknown
const {rawJSON} = JSON as unknown as {rawJSON(text: string): unknown}
