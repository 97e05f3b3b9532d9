/** Damages JSON documents: values, keys, and the text itself. */
import type {Dice} from '../random.ts'
import {hostileKeys, hostileValues} from './hostile-words.ts'
import {changeBytes, cutOrGrow} from './mutate-tar.ts'

type Container = Record<string | number, unknown>

export function mutateDocument(bytes: Buffer, dice: Dice): Buffer {
  if (dice.chance(0.15)) return dice.pick([changeBytes, cutOrGrow])(Buffer.from(bytes), dice)
  if (dice.chance(0.15)) return mutateText(bytes, dice)
  try {
    const root = {document: JSON.parse(bytes.toString()) as unknown}
    for (let count = 1 + dice.below(2); count > 0; count--) mutateValue(root, dice)
    return Buffer.from(JSON.stringify(root.document) ?? 'null')
  } catch {
    // It was damaged before.
    return changeBytes(Buffer.from(bytes), dice)
  }
}

function mutateText(bytes: Buffer, dice: Dice): Buffer {
  const text = bytes.toString('latin1')
  const depth = dice.pick([10, 1000, 200_000])
  return Buffer.from(
    dice.pick([
      () => `\xef\xbb\xbf${text}`,
      () => `${text}${text}`,
      () => `${text} x`,
      () => text.replace('{', `{"${dice.pick(hostileKeys)}":1,`),
      () => text.replace('{', `{"deep":${'['.repeat(depth)}${']'.repeat(depth)},`),
      () => text.replace(/:\d+/, `:${dice.pick(['1e400', '-0', '00', '123456789012345678901234567890', '1.0'])}`),
      () => text.replace(/"([A-Za-z_]+)":/, (_, key: string) => `"${key}":null,"${key}":`),
      () => text.replace(/"([A-Za-z])/, (_, first: string) => `"\\u00${first.charCodeAt(0).toString(16)}`),
      () => '',
      () => '{}',
      () => '[]',
      () => 'null',
    ])(),
    'latin1',
  )
}

function mutateValue(root: Container, dice: Dice): void {
  const places = [...placesOf(root)]
  const [container, key] = dice.pick(places)
  const [otherContainer, otherKey] = dice.pick(places)
  dice.pick([
    () => put(container, key, dice.pick(hostileValues)),
    () => put(container, key, dice.pick(hostileValues)),
    () => put(container, key, structuredClone(otherContainer[otherKey])),
    () => void (Array.isArray(container) ? container.splice(Number(key), 1) : delete container[key]),
    () =>
      void (Array.isArray(container)
        ? container.push(structuredClone(container[key as number]))
        : put(container, dice.pick(hostileKeys), container[key])),
    () => put(container, key, [container[key]]),
    () => Array.isArray(container) && void container.reverse(),
  ])()
}

/** As JSON.parse makes members, whatever their names. */
function put(container: Container, key: string | number, value: unknown): void {
  Object.defineProperty(container, key, {value, configurable: true, enumerable: true, writable: true})
}

function* placesOf(container: Container): Generator<[Container, string | number]> {
  const keys = Array.isArray(container) ? [...container.keys()] : Object.keys(container)
  for (const key of keys) {
    yield [container, key]
    const value = container[key]
    if (typeof value === 'object' && value !== null) yield* placesOf(value as Container)
  }
}
