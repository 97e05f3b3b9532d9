import {setImmediate} from 'node:timers/promises'
import test from 'ava'
import fc from 'fast-check'
import {isImgtoolError} from '../../src/errors.ts'
import {ChangeDecoder} from '../../src/layer/change.ts'
import {MergedTree} from '../../src/layer/merged-tree.ts'
import {TarParser} from '../../src/layer/tar/parser.ts'
import {defaultLimits} from '../../src/limits.ts'
import {readEntry} from '../helpers/entries.ts'
import {entry} from '../helpers/layers.ts'
import {directory, file, hardlink, member, symlink, tar} from '../helpers/tar.ts'

function merge(...layers: readonly (readonly Buffer[])[]): MergedTree {
  const tree = new MergedTree()
  for (const members of layers) {
    tree.startLayer()
    const decoder = new ChangeDecoder(tree, () => {})
    const parser = new TarParser(decoder, defaultLimits)
    parser.write(tar(...members))
    parser.finish()
    decoder.finish()
  }
  return tree
}

/** Every path but the root with what it is: `@` and the layer that made it, `x` and how many names it has. */
function show(tree: MergedTree, path = '', depth = Number.POSITIVE_INFINITY): string[] {
  const listed = tree.list(path, depth) ?? [{entry: {path: 'nothing'}} as never]
  return [...listed]
    .filter(({entry}) => entry.path !== '')
    .map(({entry, layer, links}) => {
      const suffix = entry.kind === 'directory' ? '/' : entry.kind === 'symlink' ? ` -> ${entry.link}` : ''
      return `${entry.path}${suffix} @${layer}${links === 1 ? '' : ` x${links}`}`
    })
}

const shown = (...layers: readonly (readonly Buffer[])[]) => show(merge(...layers))
const entryAt = (tree: MergedTree, path: string) => [...(tree.list(path, 0) ?? [])][0]?.entry
const modeOf = (tree: MergedTree, path: string) => entryAt(tree, path)?.mode

/** A lower layer with a bit of everything. */
const lower = [
  directory('d', {mode: 0o700}),
  file('d/a', 'abc'),
  directory('d/e', {mode: 0o711}),
  file('d/e/b'),
  file('f'),
  symlink('s', 'd'),
]
const lowerShown = ['d/ @0', 'd/a @0', 'd/e/ @0', 'd/e/b @0', 'f @0', 's -> d @0']

test('upper layers add to lower ones and replace what they have', (t) => {
  t.deepEqual(shown(lower, [file('f', 'new'), file('g')]), [...lowerShown.slice(0, 4), 'f @1', 'g @1', 's -> d @0'])
})

test('a whiteout removes a file, a directory with all below, and a link, not what it leads to', (t) => {
  t.deepEqual(shown(lower, [file('.wh.d')]), ['f @0', 's -> d @0'])
  t.deepEqual(shown(lower, [file('d/.wh.e'), file('.wh.s')]), ['d/ @0', 'd/a @0', 'f @0'])
})

test('a whiteout of what is not there does nothing, and makes no parents', (t) => {
  t.deepEqual(shown(lower, [file('.wh.x'), file('x/y/.wh.z'), file('f/.wh.x')]), lowerShown)
  t.deepEqual(shown([file('.wh.x')]), [])
})

test('a whiteout of a directory that the same layer has again removes the old children', (t) => {
  const again = directory('d')
  for (const layer of [
    [file('.wh.d'), again],
    [again, file('.wh.d')],
  ])
    t.deepEqual(shown(lower, layer), ['d/ @1', 'f @0', 's -> d @0'])
})

test('a whiteout of a directory below which the same layer has a file leaves only that file', (t) => {
  for (const layer of [
    [file('.wh.d'), file('d/e/new')],
    [file('d/e/new'), file('.wh.d')],
  ]) {
    const tree = merge(lower, layer)
    t.deepEqual(show(tree), ['d/ @1', 'd/e/ @1', 'd/e/new @1', 'f @0', 's -> d @0'])
    // Directories that no layer describes any more are like any that none ever did.
    t.deepEqual([modeOf(tree, 'd'), modeOf(tree, 'd/e')], [0o755, 0o755])
  }
})

test('a whiteout of a file that the same layer has, wherever it stands, leaves the new file', (t) => {
  for (const layer of [
    [file('.wh.f'), file('f', 'new')],
    [file('f', 'new'), file('.wh.f')],
  ])
    t.deepEqual(shown(lower, layer), [...lowerShown.slice(0, 4), 'f @1', 's -> d @0'])
})

test('an opaque mark hides what lower layers have, wherever it stands, and keeps the directory', (t) => {
  for (const layer of [
    [file('d/.wh..wh..opq'), file('d/new')],
    [file('d/new'), file('d/.wh..wh..opq')],
  ]) {
    const tree = merge(lower, layer)
    t.deepEqual(show(tree), ['d/ @0', 'd/new @1', 'f @0', 's -> d @0'])
    t.is(modeOf(tree, 'd'), 0o700)
  }
})

test('an opaque mark at the root empties the image', (t) => {
  t.deepEqual(shown(lower, [file('.wh..wh..opq')]), [])
  t.deepEqual(shown(lower, [file('new'), file('.wh..wh..opq')]), ['new @1'])
})

test('an opaque mark in a file, or in nothing, does nothing', (t) => {
  t.deepEqual(shown(lower, [file('f/.wh..wh..opq'), file('x/.wh..wh..opq')]), lowerShown)
})

test('an opaque mark and plain whiteouts go together', (t) => {
  const layer = [file('d/.wh.a'), file('d/.wh..wh..opq'), file('d/.wh.e'), file('d/a', 'new')]
  t.deepEqual(shown(lower, layer), ['d/ @0', 'd/a @1', 'f @0', 's -> d @0'])
})

test('whiteouts of the first layer hide nothing', (t) => {
  t.deepEqual(shown([...lower, file('.wh.d'), file('.wh..wh..opq')]), lowerShown)
})

test('a file below a symlink of a lower layer lands where that leads', (t) => {
  t.deepEqual(shown(lower, [file('s/new')]), [...lowerShown.slice(0, 4), 'd/new @1', 'f @0', 's -> d @0'])
  t.deepEqual(shown(lower, [file('s/.wh.a'), file('s/e/.wh..wh..opq')]), ['d/ @0', 'd/e/ @0', 'f @0', 's -> d @0'])
})

test('symlinks lead where they would after a chroot', (t) => {
  const escapes = [symlink('up', '../../..'), symlink('absolute', '/d'), symlink('both', '/../x/..')]
  const files = [file('up/1'), file('absolute/2'), file('both/3')]
  t.deepEqual(shown([directory('d'), directory('x'), ...escapes, ...files]), [
    '1 @0',
    '3 @0',
    'absolute -> /d @0',
    'both -> /../x/.. @0',
    'd/ @0',
    'd/2 @0',
    'up -> ../../.. @0',
    'x/ @0',
  ])
})

test('what a dangling symlink leads to is made for the file below it', (t) => {
  t.deepEqual(shown([symlink('s', 'not/there'), file('s/f')]), [
    'not/ @0',
    'not/there/ @0',
    'not/there/f @0',
    's -> not/there @0',
  ])
})

test('a symlink that leads to itself is content, and a path through it is refused', (t) => {
  const loops = [symlink('a', 'b'), symlink('b', 'a'), symlink('c', 'c/c')]
  t.is(shown(loops).length, 3)
  for (const entry of [file('a/f'), file('c/f'), file('a/.wh.f'), file('c/.wh..wh..opq'), hardlink('h', 'a/f')])
    t.throws(() => shown(loops, [entry]), {code: 'LINK_INVALID'})
})

test('forty symlinks are followed, and no more', (t) => {
  const chain = (length: number) => Array.from({length}, (_, at) => symlink(`s${at}`, at === 0 ? 'd' : `s${at - 1}`))
  t.notThrows(() => shown([directory('d'), ...chain(40), file('s39/f')]))
  t.throws(() => shown([directory('d'), ...chain(41), file('s40/f')]), {code: 'LINK_INVALID'})
})

test('symlinks that double at each step are refused, not walked', (t) => {
  const links = Array.from({length: 60}, (_, at) => symlink(`s${at}`, at === 0 ? '.' : `s${at - 1}/s${at - 1}`))
  t.throws(() => shown([...links, file('s59/f')]), {code: 'LINK_INVALID'})
})

test('a file where a directory is needed is refused', (t) => {
  for (const entry of [file('f/x'), directory('f/x/y'), symlink('f/s', 'x'), hardlink('f/h', 'd/a')])
    t.throws(() => shown(lower, [entry]), {code: 'ENTRY_INVALID'})
  t.throws(() => shown([file('f'), symlink('s', 'f'), file('s/x')]), {code: 'ENTRY_INVALID'})
})

test('the root may be described, but not replaced', (t) => {
  t.is(modeOf(merge(lower, [directory('./', {mode: 0o711})]), ''), 0o711)
  t.is(modeOf(merge(lower), ''), 0o755)
  for (const root of [
    symlink('.', '/etc'),
    member({name: './', type: '7'}),
    hardlink('/', 'f'),
    member({name: '.', type: '6'}),
  ])
    t.throws(() => merge(lower, [root]), {code: 'ENTRY_INVALID'})
})

test('implied parents are ordinary directories of root', (t) => {
  const tree = merge([file('a/b/c', '', {uid: 5, gid: 5, mtime: 7})])
  t.like(entryAt(tree, 'a'), {path: 'a', kind: 'directory', mode: 0o755, uid: 0, gid: 0})
})

test('a directory over a directory keeps what is in it and takes the new attributes', (t) => {
  const tree = merge(lower, [directory('d', {mode: 0o750, uid: 9})])
  t.deepEqual(show(tree), ['d/ @1', ...lowerShown.slice(1)])
  t.like(entryAt(tree, 'd'), {mode: 0o750, uid: 9})
})

test('anything else over a directory removes what was in it, and a directory over anything else is empty', (t) => {
  t.deepEqual(shown(lower, [file('d')]), ['d @1', 'f @0', 's -> d @0'])
  t.deepEqual(shown(lower, [symlink('d', 'f')]), ['d -> f @1', 'f @0', 's -> d @0'])
  t.deepEqual(shown(lower, [directory('s')]), [...lowerShown.slice(0, 5), 's/ @1'])
})

test('the last of several entries of one name counts', (t) => {
  t.deepEqual(shown([file('a'), symlink('a', 'x'), directory('a'), file('a/b')]), ['a/ @0', 'a/b @0'])
})

test('a hard link to a file of a lower layer is a second name of it', (t) => {
  const tree = merge(lower, [hardlink('h', 'd/a')])
  t.deepEqual(show(tree, 'h'), ['h @0 x2'])
  t.deepEqual(show(tree, 'd/a'), ['d/a @0 x2'])
  t.is(entryAt(tree, 'h')?.size, 3)
})

test('a hard link keeps the file when its other name goes', (t) => {
  t.deepEqual(shown(lower, [hardlink('h', 'd/a')], [file('.wh.d')]), ['f @0', 'h @0', 's -> d @0'])
  t.deepEqual(shown(lower, [hardlink('h', 'd/a')], [file('d')]), ['d @2', 'f @0', 'h @0', 's -> d @0'])
  t.deepEqual(shown(lower, [hardlink('h', 'd/a')], [file('d/.wh..wh..opq')]), ['d/ @0', 'f @0', 'h @0', 's -> d @0'])
})

test('a hard link over another name of the same file changes nothing', (t) => {
  const twice = [hardlink('h', 'f'), hardlink('h', 'f'), hardlink('f', 'h')]
  t.deepEqual(shown([file('f')], twice), ['f @0 x2', 'h @0 x2'])
})

test('a new file under one of two names leaves the other', (t) => {
  t.deepEqual(shown([file('a'), hardlink('b', 'a')], [file('a', 'new')]), ['a @1', 'b @0'])
})

test('a hard link to a symlink is that symlink, not what it leads to', (t) => {
  t.deepEqual(shown([symlink('s', 'x'), hardlink('h', 's')]), ['h -> x @0 x2', 's -> x @0 x2'])
})

test('a hard link finds its target through the symlinks of its parents', (t) => {
  t.deepEqual(show(merge(lower, [hardlink('h', 's/a')]), 'h'), ['h @0 x2'])
})

for (const [title, ...layer] of [
  ['nothing', hardlink('h', 'x')],
  ['nothing in nothing', hardlink('h', 'x/y/z')],
  ['a later entry', hardlink('h', 'later'), file('later')],
  ['itself', hardlink('h', 'h')],
  ['itself, where there is a file', hardlink('f', 'f')],
  ['itself by another way', hardlink('s/a', 'd/a')],
  ['a directory', hardlink('h', 'd')],
  ['the root', hardlink('h', '/')],
  ['a file that the same layer has removed', file('.wh.f'), hardlink('h', 'f')],
  ['a file in the directory that it replaces', hardlink('d', 'd/a')],
  ['something below a file', hardlink('h', 'f/x')],
] as const) {
  test(`a hard link to ${title} is refused`, (t) => {
    t.throws(() => shown(lower, layer), {code: 'LINK_INVALID'})
  })
}

test('what aufs kept for its hard links goes, and the links stay', (t) => {
  const plnk = [directory('.wh..wh.plnk'), file('.wh..wh.plnk/1.2', 'abc')]
  t.deepEqual(shown(lower, [...plnk, hardlink('a', '.wh..wh.plnk/1.2'), hardlink('b', '.wh..wh.plnk/1.2')]), [
    'a @1 x2',
    'b @1 x2',
    ...lowerShown,
  ])
  t.throws(() => shown([...plnk], [hardlink('a', '.wh..wh.plnk/1.2')]), {code: 'LINK_INVALID'})
})

test('a list begins with its path, goes as deep as is said, and is sorted by bytes', (t) => {
  const tree = merge([file('b'), file('a-b'), file('a/x/y'), file('\xff'), file('B')])
  t.deepEqual(show(tree), ['B @0', 'a/ @0', 'a/x/ @0', 'a/x/y @0', 'a-b @0', 'b @0', '\xff @0'])
  t.deepEqual(show(tree, '', 1), ['B @0', 'a/ @0', 'a-b @0', 'b @0', '\xff @0'])
  t.deepEqual(show(tree, 'a', 1), ['a/ @0', 'a/x/ @0'])
  t.deepEqual(show(tree, 'a', 0), ['a/ @0'])
  t.is(tree.list('missing', 0), undefined)
  t.is(tree.list('b/x', 0), undefined)
})

test('a list goes through symlinks to its path, and shows where that is', (t) => {
  const tree = merge(lower)
  t.deepEqual(show(tree, 's/e'), ['d/e/ @0', 'd/e/b @0'])
  t.deepEqual(show(tree, 's'), ['s -> d @0'])
})

test('a list may be walked again, and left early', (t) => {
  const list = merge(lower).list('', Number.POSITIVE_INFINITY)!
  for (const {entry} of list) if (entry.path === 'd/e') break
  const paths = () => [...list].map(({entry}) => entry.path)
  t.deepEqual(paths(), ['', 'd', 'd/a', 'd/e', 'd/e/b', 'f', 's'])
  t.deepEqual(paths(), paths())
})

test('names that objects have are names', (t) => {
  const names = ['__proto__', 'constructor', 'hasOwnProperty', 'toString']
  t.deepEqual(shown(names.map((name) => file(`${name}/${name}`))).length, 8)
  t.deepEqual(shown([file('a')], [file('.wh.__proto__'), file('constructor/.wh..wh..opq')]), ['a @0'])
})

test('paths of any depth are merged, listed and hidden without recursion', (t) => {
  const deep = Array.from({length: 4096}, () => 'd').join('/')
  const tree = new MergedTree()
  const template = readEntry(tar(file('f')))
  tree.startLayer()
  tree.add({...template, path: `${deep}/f`})
  t.is(show(tree).length, 4097)
  tree.startLayer()
  tree.opaque('d')
  t.is(show(tree).length, 1)
})

test('a directory of more names than a call takes arguments is replaced and hidden', (t) => {
  const tree = new MergedTree()
  const template = readEntry(tar(file('f')))
  tree.startLayer()
  for (let n = 0; n < 200_000; n++) tree.add({...template, path: `d/${n}`})
  tree.startLayer()
  tree.add({...template, path: 'd/new'})
  tree.remove('d')
  t.deepEqual(show(tree), ['d/ @1', 'd/new @1'])
  tree.startLayer()
  for (let n = 0; n < 200_000; n++) tree.add({...template, path: `d/${n}`})
  tree.add({...template, path: 'd'})
  t.deepEqual(show(tree), ['d @2'])
})

test('a symlink may lead through more names than a call takes arguments', (t) => {
  const tree = new MergedTree()
  const template = readEntry(tar(file('f')))
  tree.startLayer()
  tree.add({...template, kind: 'symlink', path: 's', link: 'd/../'.repeat(100_000)})
  tree.add({...template, path: 's/f'})
  t.deepEqual(show(tree, 'f'), ['f @0'])
})

test('whiteouts may stand anywhere in their layer', (t) => {
  const name = fc.constantFrom('a', 'b')
  const path = fc.array(name, {minLength: 1, maxLength: 3}).map((names) => names.join('/'))
  const addition = fc.tuple(path, fc.boolean()).map(([at, isFile]) => (isFile ? file(at) : directory(at)))
  const whiteout = path.map((at) => file(at.replace(/[^/]*$/, '.wh.$&')))
  const opaque = path.map((at) => file(`${at}/.wh..wh..opq`))
  const layers = fc.array(addition, {maxLength: 8})
  const marks = fc.array(fc.oneof(whiteout, opaque), {maxLength: 3})
  const show = (...list: readonly (readonly Buffer[])[]) => {
    try {
      return shown(...list)
    } catch (error) {
      if (!isImgtoolError(error)) throw error
      return undefined
    }
  }
  fc.assert(
    fc.property(layers, layers, marks, fc.nat(8), (below, above, deletions, place) => {
      const first = show(below, [...deletions, ...above])
      const within = show(below, above.toSpliced(place, 0, ...deletions))
      // A file may stand in the way of an entry until the whiteout comes.
      if (within !== undefined) t.deepEqual(within, first)
    }),
  )
})

test('marks of one directory that come again and again cost time in proportion, however much the layer has in it', async (t) => {
  t.timeout(20_000)
  const tree = new MergedTree()
  tree.startLayer()
  for (let at = 0; at < 100_000; at++) tree.add(entry({path: `d/e/${at}`}))
  for (let at = 0; at < 100_000; at++) {
    tree.opaque('d/e')
    tree.remove('d/e')
    tree.remove('d')
    // Only between two turns of the event loop can time run out.
    if (at % 1000 === 0) await setImmediate()
  }
  t.is(show(tree).length, 100_002)
})

test('what comes into a directory after all below it was hidden is hidden by the next layer, and stays in its own', (t) => {
  const mark = file('d/.wh..wh..opq')
  t.deepEqual(shown(lower, [mark, file('d/one'), mark, directory('d/e'), mark]), [
    'd/ @0',
    'd/e/ @1',
    'd/one @1',
    'f @0',
    's -> d @0',
  ])
  t.deepEqual(shown(lower, [mark, file('d/one')], [file('d/two'), mark]), ['d/ @0', 'd/two @2', 'f @0', 's -> d @0'])
  // Another directory of the name.
  const anew = [mark, file('d'), directory('d'), file('d/one'), mark]
  t.deepEqual(shown(lower, anew), ['d/ @1', 'd/one @1', 'f @0', 's -> d @0'])
  t.deepEqual(shown(lower, anew, [mark]), ['d/ @1', 'f @0', 's -> d @0'])
})
