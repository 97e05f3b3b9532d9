import {gzipSync} from 'node:zlib'
import test from 'ava'
import fc from 'fast-check'
import {ChangeDecoder, whiteoutKind} from '../../src/layer/change.ts'
import {type FlatFacts, flatten} from '../../src/layer/flatten.ts'
import {MergedTree} from '../../src/layer/merged-tree.ts'
import {splitPath} from '../../src/layer/path.ts'
import {startBudget} from '../../src/layer/read.ts'
import {TarParser} from '../../src/layer/tar/parser.ts'
import {defaultLimits} from '../../src/limits.ts'
import {type ReadEntry, readEntries} from '../helpers/entries.ts'
import {memoryBlob} from '../helpers/memory-layers.ts'
import {
  describeMerged,
  entryOf,
  layers,
  mergeLayers,
  type RandomLayers,
  type Tree,
  titlesOf,
  trials,
  without,
} from '../helpers/random-layers.ts'
import {directory, file, hardlink, pax, sparseFile, symlink, tar} from '../helpers/tar.ts'

async function flattenTars(tars: readonly Buffer[], from = 0): Promise<{bytes: Buffer; facts: FlatFacts}> {
  const sources = tars.map((bytes, index) => ({index, blob: memoryBlob(bytes)}))
  const pieces = flatten(sources, [startBudget(defaultLimits), startBudget(defaultLimits)], {from})
  const parts: Buffer[] = []
  for (let step = await pieces.next(); ; step = await pieces.next()) {
    if (step.done) return {bytes: Buffer.concat(parts), facts: step.value}
    parts.push(Buffer.from(step.value))
  }
}

function merge(tars: readonly Buffer[]): MergedTree {
  const tree = new MergedTree()
  for (const bytes of tars) {
    tree.startLayer()
    const decoder = new ChangeDecoder(tree, () => {})
    const parser = new TarParser(decoder, defaultLimits)
    parser.write(bytes)
    parser.finish()
    decoder.finish()
  }
  return tree
}

const treeOf = (tars: readonly Buffer[]): Tree => describeMerged(merge(tars))

/** The layers without all that is refused, and the tree that they make. */
function acceptable(list: RandomLayers): {tars: Buffer[]; tree: Tree} {
  for (let left = list; ; ) {
    const outcome = mergeLayers(left)
    if ('refused' in outcome) left = without(left, outcome)
    else {
      const tars = left.map((steps, layer) => tar(...steps.map((step, at) => entryOf(step, layer, at))))
      return {tars, tree: outcome.tree}
    }
  }
}

test('one layer of several makes the same tree as they do, alone and on the lower ones', async (t) => {
  t.timeout(600_000)
  await fc.assert(
    fc.asyncProperty(layers, fc.nat(3), fc.boolean(), async (list, at, zipped) => {
      const {tars, tree} = acceptable(list)
      const from = at % tars.length
      const lower = tars.slice(0, from)
      const {bytes} = await flattenTars(zipped ? tars.map((each) => gzipSync(each)) : tars, from)
      t.deepEqual(treeOf([...lower, bytes]), tree, [...titlesOf(list), `from ${from}`].join('\n'))
      checkLayer(readEntries(bytes), lower)
    }),
    trials,
  )
})

/** What drivers that unpack a layer alone, and readers that take entries as they come, need of it. */
function checkLayer(entries: readonly ReadEntry[], lower: readonly Buffer[]): void {
  const below = new Set([...merge(lower).list('', Number.POSITIVE_INFINITY)!].map(({entry}) => entry.path))
  const seen = new Map<string, string>([['', 'directory']])
  for (const {entry, content} of entries) {
    const {directory: parent, name} = splitPath(entry.path)
    const is = (condition: boolean, what: string) => {
      if (!condition) throw new Error(`${entry.path}: ${what}`)
    }
    is(entry.path === '' || seen.get(parent) === 'directory', 'comes before its directory')
    is(entry.path === '' || !seen.has(entry.path), 'comes twice')
    const hides = whiteoutKind(entry.path)
    if (hides === 'remove') is(below.has(parent === '' ? name.slice(4) : `${parent}/${name.slice(4)}`), 'hides nothing')
    if (hides === 'opaque') is(below.has(parent), 'hides nothing')
    if (entry.kind === 'hardlink') is(seen.get(entry.link) === 'other', 'links to what is not there')
    if (entry.kind === 'file') is(/^(?:x*|pseudo)$/.test(content) && content.length === entry.size, 'has other content')
    seen.set(entry.path, entry.kind === 'directory' ? 'directory' : 'other')
  }
}

/** Paths of a flattened layer with what they are. */
async function show(tars: readonly Buffer[], from = 0): Promise<string[]> {
  return readEntries((await flattenTars(tars, from)).bytes).map(({entry, content}) => {
    const suffix = {directory: '/', symlink: ` -> ${entry.link}`, hardlink: ` = ${entry.link}`}
    return `${entry.path}${suffix[entry.kind as 'directory'] ?? (content && ` ${content}`)}`
  })
}

test('directories come first, files in the order of their layers, links right behind their file', async (t) => {
  const lower = tar(file('z/late', '1'), file('f', '2'), hardlink('z/link', 'f'), directory('a'))
  const upper = tar(symlink('a/s', 'x'), hardlink('b', 'f'))
  t.deepEqual(await show([lower, upper]), ['a/', 'z/', 'z/late 1', 'f 2', 'z/link = f', 'b = f', 'a/s -> x'])
})

test('the next name carries the content of a file whose first name is gone', async (t) => {
  const lower = tar(file('f', 'content'), hardlink('g', 'f'), hardlink('h', 'f'))
  t.deepEqual(await show([lower, tar(file('.wh.f'))]), ['g content', 'h = g'])
  t.deepEqual(await show([lower, tar(file('f', 'new'))]), ['g content', 'h = g', 'f new'])
})

test('whiteouts stay where they hide something of the layers that stay', async (t) => {
  const base = tar(directory('d'), file('d/a'), file('d/b'), file('f'))
  const middle = tar(file('d/c'), file('g'))
  const top = tar(file('d/.wh.a'), file('d/.wh.c'), file('.wh.g'), file('.wh.missing'))
  t.deepEqual(await show([base, middle, top], 1), ['d/', 'd/.wh.a'])
  t.deepEqual(await show([base, middle, top]), ['d/', 'd/b', 'f'])
})

test('a directory in which nothing of the lower one is left is opaque, a root never', async (t) => {
  const base = tar(directory('d'), file('d/a'), file('d/b'), file('d/c'), file('f'), file('g'))
  t.deepEqual(await show([base, tar(file('.wh.d'), directory('d'), file('d/c', 'new'))], 1), [
    'd/',
    'd/.wh..wh..opq',
    'd/c new',
  ])
  t.deepEqual(await show([base, tar(file('.wh.d'), directory('d'), hardlink('d/n', 'f'))], 1), [
    'd/',
    'd/.wh..wh..opq',
    'f',
    'd/n = f',
  ])
  t.deepEqual(await show([base, tar(file('d/.wh.a'), file('d/.wh.b'))], 1), ['d/', 'd/.wh.a', 'd/.wh.b'])
  t.deepEqual(await show([base, tar(file('.wh..wh..opq'))], 1), ['.wh.d', '.wh.f', '.wh.g'])
})

test('a new link to a lower file brings the file along, under all its names', async (t) => {
  const base = tar(directory('d'), file('d/a', 'content'), hardlink('b', 'd/a'))
  t.deepEqual(await show([base, tar(hardlink('c', 'b'))], 1), ['d/', 'd/a content', 'b = d/a', 'c = d/a'])
  t.deepEqual(await show([base, tar(file('.wh.b'))], 1), ['.wh.b'])
  t.deepEqual(await show([base, tar(hardlink('c', 'b')), tar(file('.wh.c'))], 1), [])
})

test('directories may come last, each behind its own, for GNU tar', async (t) => {
  const bytes = tar(directory('d'), directory('d/e'), file('d/a', '1'), file('b'))
  const pieces: Buffer[] = []
  const budgets = [startBudget(defaultLimits), startBudget(defaultLimits)] as const
  for await (const piece of flatten([{index: 0, blob: memoryBlob(bytes)}], budgets, {directoriesLast: true}))
    pieces.push(Buffer.from(piece))
  const paths = readEntries(Buffer.concat(pieces)).map(({entry}) => entry.path)
  t.deepEqual(paths, ['d/a', 'b', 'd/e', 'd'])
})

test('parents of what changes keep what the lower layers say of them', async (t) => {
  const base = tar(directory('d', {mode: 0o700, mtime: 5}), file('d/a'))
  const [first] = readEntries((await flattenTars([base, tar(file('d/b'))], 1)).bytes)
  t.deepEqual([first!.entry.path, first!.entry.mode, first!.entry.mtime.seconds], ['d', 0o700, 5])
})

test('sparse files are written whole, because docker saves no others, and long names and attributes are what they are', async (t) => {
  const long = `${'n'.repeat(200)}/${'m'.repeat(200)}`
  const sparse = sparseFile('gnu', 'sparse', 5_000_000, [{offset: 4_000_256, data: 'x'.repeat(512)}])
  const records = [
    ['path', long],
    ['SCHILY.xattr.user.x', 'a\0b'],
    ['mtime', '-1.5'],
  ] as const
  const source = tar(sparse, pax(records), file('short', 'y'))
  const entries = readEntries((await flattenTars([source])).bytes).filter(({entry}) => entry.kind === 'file')
  const whole = readEntries(source).map(({entry: {pieces: _, ...entry}, content}) => ({entry, content}))
  t.deepEqual(entries, whole)
})

test('facts count what the layer holds', async (t) => {
  const {facts} = await flattenTars(
    [tar(file('f')), tar(directory('d'), file('d/a', 'abc'), hardlink('b', 'd/a'), file('.wh.f'))],
    1,
  )
  t.deepEqual(facts, {entries: 3, whiteouts: 1, bytes: 3})
})

test('nothing but headers of an uncompressed layer is read twice', async (t) => {
  const size = 4 << 20
  const blob = memoryBlob(tar(file('large', 'x'.repeat(size))), 1 << 16)
  const budgets = [startBudget(defaultLimits), startBudget(defaultLimits)] as const
  let written = 0
  for await (const piece of flatten([{index: 0, blob}], budgets)) written += piece.length
  t.is(written, blob.size)
  t.true(blob.taken < blob.size + (1 << 20), `${blob.taken} bytes read`)
})
