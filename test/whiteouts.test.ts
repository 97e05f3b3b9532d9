/** One layer from one form to another and back: the same changes, alone and in view of the layers below. */
import {execFileSync} from 'node:child_process'
import {existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import fc from 'fast-check'
import {isImgtoolError} from '../src/errors.ts'
import {ChangeDecoder} from '../src/layer/change.ts'
import {MergedTree} from '../src/layer/merged-tree.ts'
import {TarParser} from '../src/layer/tar/parser.ts'
import {defaultLimits} from '../src/limits.ts'
import * as os from '../src/os/libc.ts'
import {type LayerForm, type TranslateOptions, translateLayer} from '../src/whiteouts.ts'
import {readEntries} from './helpers/entries.ts'
import {scratch} from './helpers/layers.ts'
import {
  applyLayers,
  describeMerged,
  entryOf,
  layers,
  mergeLayers,
  type RandomLayers,
  titlesOf,
  trials,
  without,
} from './helpers/random-layers.ts'
import {directory, file, hardlink, sparseFile, symlink, tar} from './helpers/tar.ts'

const isRoot = process.geteuid?.() === 0
const rootTest = isRoot ? test : test.skip

const forms = [
  ['aufs', test],
  ['overlay', rootTest],
] as const

for (const [form, formTest] of forms) {
  formTest(`a layer that goes to ${form} and back changes the same, whatever lies below`, async (t) => {
    t.timeout(600_000)
    await checkAll(t, (base, list) => checkAlone(base, list.at(-1)!, list.length - 1, form))
  })

  formTest(`a layer that goes to ${form} and back on its lower layers makes the same tree`, async (t) => {
    t.timeout(600_000)
    await checkAll(t, (base, list) => checkOnLower(base, list, form))
  })

  formTest(`${form} has the deletions of a tar, and they come before what is there`, async (t) => {
    const base = scratch(t)
    const layer = tar(
      file('z', 'z'),
      directory('d/'),
      file('d/.wh.gone'),
      file('d/kept', 'kept'),
      directory('e/', {mode: 0o700}),
      file('e/.wh..wh..opq'),
      file('e/-first', 'x'),
      file('.wh.b'),
      hardlink('l', 'z'),
      symlink('s', 'd'),
    )
    const there = join(base, 'there')
    await translate(write(base, layer), there, {from: 'tar', to: form})
    t.deepEqual(
      (await entries(there, join(base, 'back.tar'), {from: form, to: 'tar'})).map(
        ({entry, content}) => `${entry.kind} ${entry.path} ${entry.mode.toString(8)} ${content || entry.link}`,
      ),
      [
        ...['file .wh.b 600 ', 'directory d 755 ', 'file d/.wh.gone 600 ', 'file d/kept 644 kept'],
        ...['directory e 700 ', 'file e/.wh..wh..opq 600 ', 'file e/-first 644 x'],
        ...['file l 644 z', 'symlink s 777 d', 'hardlink z 644 l'],
      ],
    )
  })
}

type Check = (base: string, list: RandomLayers) => Promise<void>

/** Checks layers whose last one has no pseudo links, less the steps that are refused. */
async function checkAll(t: ExecutionContext, check: Check): Promise<void> {
  const base = mkdtempSync(join(tmpdir(), 'imgtool-whiteouts-'))
  try {
    await fc.assert(
      fc.asyncProperty(layers, async (list) => {
        let left = list.map((steps) => steps.filter(({title}) => !title.includes('pseudo') && !title.includes('.plnk')))
        for (let outcome = mergeLayers(left); 'refused' in outcome; outcome = mergeLayers(left))
          left = without(left, outcome) as typeof left
        const here = mkdtempSync(join(base, 'run-'))
        try {
          await check(here, left)
        } catch (error) {
          throw new Error([...titlesOf(left), String(error)].join('\n'), {cause: error})
        } finally {
          rmSync(here, {recursive: true, force: true})
        }
      }),
      trials,
    )
    t.pass()
  } finally {
    rmSync(base, {recursive: true, force: true})
  }
}

/** Every name that random layers have, as a directory of its own with something in it. */
const everything = tar(...below('', 3).flatMap((path) => [directory(`${path}/`, {mode: 0o711}), file(`${path}/kept`)]))

function below(path: string, depth: number): string[] {
  if (depth === 0) return []
  return ['a', 'b', 'c'].flatMap((name) => [join(path, name), ...below(join(path, name), depth - 1)])
}

/**
 * Where nothing is known of lower layers, directories have to be made that the layer does not describe: only kinds count, and a
 * deletion may bring the directories above it.
 */
async function checkAlone(base: string, steps: RandomLayers[number], layer: number, form: LayerForm): Promise<void> {
  let left = steps
  for (let refused = refusalOf(left); refused !== undefined; refused = refusalOf(left))
    left = left.toSpliced(refused, 1)
  const before = tarOfSteps(left, layer)
  if (isLoop(before)) return
  const there = await go(base, before, form, [])
  await translate(there, join(base, 'back.tar'), {from: form, to: 'tar'})
  const after = readFileSync(join(base, 'back.tar'))
  const [kindsBefore, kindsAfter] = [kindsOf(before), kindsOf(after)]
  const deletions = readEntries(after).flatMap(({entry: {path}}) => (path.includes('.wh.') ? [`/${path}`] : []))
  const isBrought = (line: string) => {
    const [path] = line.split(' ')
    return line.endsWith(' directory') && deletions.some((deletion) => deletion.startsWith(`${path}/`))
  }
  equal(
    kindsAfter.filter((line) => kindsBefore.includes(line) || !isBrought(line)),
    kindsBefore,
  )
}

/** Whether a symlink that leads nowhere by itself goes in circles where everything is there. */
function isLoop(layer: Buffer): boolean {
  try {
    kindsOf(layer)
    return false
  } catch (error) {
    return isImgtoolError(error) && error.code === 'LINK_INVALID'
  }
}

/** What a layer makes of everything: path and kind. */
function kindsOf(layer: Buffer): string[] {
  return treeOf([everything, layer]).map((line) => line.split(' ', 2).join(' '))
}

function refusalOf(steps: RandomLayers[number]): number | undefined {
  const tree = new MergedTree()
  tree.startLayer()
  return applyLayers([steps], () => tree)?.step
}

async function checkOnLower(base: string, list: RandomLayers, form: LayerForm): Promise<void> {
  const lower = [join(base, 'nothing')]
  mkdirSync(lower[0]!)
  const tars: Buffer[] = []
  for (const [at, steps] of list.entries()) {
    const there = await go(join(base, String(at)), tarOfSteps(steps, at), form, lower)
    const back = join(base, `${at}.tar`)
    await translate(there, back, {from: form, to: 'tar', lower})
    tars.push(readFileSync(back))
    lower.unshift(there)
  }
  const outcome = mergeLayers(list)
  equal(treeOf(tars), 'tree' in outcome ? outcome.tree : [])
}

function tarOfSteps(steps: RandomLayers[number], layer: number): Buffer {
  return tar(...steps.map((step, at) => entryOf(step, layer, at)))
}

/** Puts a layer into a directory. */
async function go(base: string, layer: Buffer, form: LayerForm, lower: readonly string[]): Promise<string> {
  mkdirSync(base, {recursive: true})
  const there = join(base, 'there')
  await translate(write(base, layer), there, {from: 'tar', to: form, lower})
  return there
}

function treeOf(list: readonly Buffer[]): readonly string[] {
  const tree = new MergedTree()
  for (const layer of list) {
    tree.startLayer()
    const decoder = new ChangeDecoder(tree, () => {})
    const parser = new TarParser(decoder, defaultLimits)
    parser.write(layer)
    parser.finish()
    decoder.finish()
  }
  return describeMerged(tree)
}

function equal(actual: readonly string[], expected: readonly string[]): void {
  if (actual.join('\n') === expected.join('\n')) return
  throw new Error(['after:', ...actual, 'before:', ...expected].join('\n'))
}

function write(base: string, layer: Buffer, name = 'layer.tar'): string {
  writeFileSync(join(base, name), layer)
  return join(base, name)
}

function translate(source: string, target: string, options: TranslateOptions) {
  return translateLayer(source, target, options)
}

async function entries(source: string, target: string, options: TranslateOptions) {
  await translate(source, target, options)
  return readEntries(readFileSync(target))
}

test('what is deleted with all that is in it has one deletion', async (t) => {
  const base = scratch(t)
  const layer = tar(file('c/.wh.c'), file('c/c/.wh..wh..opq'), file('.wh.d'), file('d/.wh..wh..opq'))
  const result = await translate(write(base, layer), join(base, 'aufs'), {from: 'tar', to: 'aufs'})
  t.is(result.whiteouts, 4)
  t.deepEqual(readdirSync(join(base, 'aufs'), {recursive: true}).toSorted(), ['.wh.d', 'c', 'c/.wh.c'])
})

test('inplace deletes what a layer deletes, and nothing of its own', async (t) => {
  const base = scratch(t)
  const target = join(base, 'rootfs')
  for (const name of ['a', 'd', 'e']) mkdirSync(join(target, name), {recursive: true})
  for (const name of ['a/x', 'd/x', 'd/y', 'e/x']) writeFileSync(join(target, name), name)
  const layer = tar(file('.wh.a'), file('d/.wh.x'), directory('e/'), file('e/new', 'new'), file('e/.wh..wh..opq'))
  const result = await translate(write(base, layer), target, {from: 'tar', to: 'inplace'})
  t.deepEqual(result, {entries: 2, bytes: 3, whiteouts: 3})
  t.deepEqual(readdirSync(target, {recursive: true}).toSorted(), ['d', 'd/y', 'e', 'e/new'])
  t.deepEqual(readdirSync(base).toSorted(), ['layer.tar', 'rootfs'])
})

test('the tar of an aufs branch loses the names of aufs itself, and stays one layer with its pseudo links', async (t) => {
  const base = scratch(t)
  const layer = tar(
    file('.wh..wh.aufs'),
    directory('.wh..wh.plnk/'),
    file('.wh..wh.plnk/1.2', 'linked'),
    directory('.wh..wh.orph/'),
    file('.wh..wh.orph/3', 'orphan'),
    hardlink('one', '.wh..wh.plnk/1.2'),
    file('.wh.gone'),
  )
  const found = await entries(write(base, layer), join(base, 'out.tar'), {from: 'tar', to: 'tar'})
  t.deepEqual(
    found.map(({entry, content}) => `${entry.kind} ${entry.path} ${content || entry.link}`.trimEnd()),
    ['file .wh..wh.plnk/1.2 linked', 'hardlink one .wh..wh.plnk/1.2', 'file .wh.gone'],
  )
  await translate(join(base, 'out.tar'), join(base, 'branch'), {from: 'tar', to: 'aufs'})
  t.deepEqual(readdirSync(join(base, 'branch')).toSorted(), ['.wh.gone', 'one'])
})

test('deletions that hide nothing are left out when the lower layers are given', async (t) => {
  const base = scratch(t)
  const [lower, upper] = [join(base, 'lower'), join(base, 'upper')]
  for (const name of ['d', 'empty']) mkdirSync(join(lower, name), {recursive: true})
  writeFileSync(join(lower, 'd/x'), 'x')
  for (const name of ['d', 'empty', 'new']) {
    mkdirSync(join(upper, name), {recursive: true})
    writeFileSync(join(upper, name, '.wh..wh..opq'), '')
  }
  for (const name of ['.wh.nothing', 'd/.wh.x']) writeFileSync(join(upper, name), '')
  const of = async (options: Partial<TranslateOptions>) =>
    (await entries(upper, join(base, 'out.tar'), {from: 'aufs', to: 'tar', force: true, ...options}))
      .map(({entry}) => entry.path)
      .filter((path) => path.includes('.wh.'))
  t.deepEqual(await of({lower: [lower]}), ['d/.wh..wh..opq'])
  t.deepEqual(await of({}), [
    ...['.wh.nothing', 'd/.wh..wh..opq', 'd/.wh.x'],
    ...['empty/.wh..wh..opq', 'new/.wh..wh..opq'],
  ])
})

test('contents survive: large files, holes, compression', async (t) => {
  const base = scratch(t)
  const large = 'x'.repeat(700_000)
  const size = 64 * 1024 * 1024
  const layer = tar(
    file('large', large),
    sparseFile('gnu', 'sparse', size, [{offset: 8 << 20, data: 'y'.repeat(5000)}]),
  )
  await translate(write(base, layer), join(base, 'branch'), {from: 'tar', to: 'aufs'})
  t.true(lstatSync(join(base, 'branch/sparse')).blocks * 512 < size)
  const target = join(base, 'out.tar.gz')
  const result = await translate(join(base, 'branch'), target, {from: 'aufs', to: 'tar', compression: 'gzip'})
  t.deepEqual(result, {entries: 2, bytes: size + large.length, whiteouts: 0})
  await translate(target, join(base, 'again'), {from: 'tar', to: 'aufs'})
  for (const name of ['large', 'sparse'])
    t.true(readFileSync(join(base, 'branch', name)).equals(readFileSync(join(base, 'again', name))))
})

rootTest('the kernel shows the same tree of a layer that came from aufs (root)', async (t) => {
  const base = scratch(t)
  const [lower, branch, upper, merged] = ['lower', 'branch', 'upper', 'merged'].map((name) => join(base, name)) as [
    string,
    string,
    string,
    string,
  ]
  for (const name of ['a', 'd', 'e']) mkdirSync(join(lower, name), {recursive: true})
  for (const name of ['a/x', 'd/x', 'd/y', 'e/x']) writeFileSync(join(lower, name), name)
  for (const name of ['d', 'e']) mkdirSync(join(branch, name), {recursive: true})
  for (const name of ['.wh.a', 'd/.wh.x', 'e/.wh..wh..opq', 'e/new']) writeFileSync(join(branch, name), '')
  await translate(branch, upper, {from: 'aufs', to: 'overlay'})
  mkdirSync(merged)
  execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', `lowerdir=${upper}:${lower}`, merged])
  try {
    t.deepEqual(readdirSync(merged, {recursive: true}).toSorted(), ['d', 'd/y', 'e', 'e/new'])
  } finally {
    execFileSync('umount', [merged])
  }
})

rootTest('a directory that overlay has renamed is refused, because its content is not there (root)', async (t) => {
  const base = scratch(t)
  mkdirSync(join(base, 'upper/renamed'), {recursive: true})
  const place = os.openAt(os.AT_FDCWD, join(base, 'upper/renamed'), os.O_PLACE)
  t.is(os.setXattr(place, 'trusted.overlay.redirect', 'before'), 0)
  os.close(place)
  const refused = translate(join(base, 'upper'), join(base, 'out.tar'), {from: 'overlay', to: 'tar'})
  const error = await t.throwsAsync(refused, {message: /"renamed" .*elsewhere \(trusted\.overlay\.redirect\)/})
  t.is(isImgtoolError(error) ? error.code : '', 'ENTRY_INVALID')
  t.deepEqual(readdirSync(base), ['upper'])
})

test('what overlay2 has of a layer is not taken for it', async (t) => {
  const base = scratch(t)
  const place = join(base, 'place')
  mkdirSync(join(place, 'diff'), {recursive: true})
  writeFileSync(join(place, 'diff/x'), '')
  const target = join(base, 'layer.tar')
  const options = {from: 'overlay', to: 'tar'} as const
  writeFileSync(join(place, 'link'), 'a file of the layer')
  t.is((await translate(place, target, options)).entries, 3)
  writeFileSync(join(place, 'link'), 'ABCDEFGHIJKLMNOPQRSTUVWX01')
  const expected = {code: 'REFERENCE_INVALID', details: {hint: `Give ${place}/diff`}}
  for (const [source, more] of [
    [place, {}],
    [join(place, 'diff'), {lower: [place]}],
  ] as const)
    t.like(await t.throwsAsync(translate(source, target, {...options, ...more, force: true})), expected)
  t.is((await translate(join(place, 'diff'), target, {...options, force: true})).entries, 1)
})

test('the archive of a whole image is said to look like one', async (t) => {
  const warningsOf = async (source: string) => {
    const warnings: string[] = []
    const onWarning = ({code}: {code: string}) => void warnings.push(code)
    await translate(source, join(scratch(t), 'target'), {from: 'tar', to: 'aufs', onWarning})
    return warnings
  }
  const fixtures = join(import.meta.dirname, '../fixtures')
  for (const name of ['docker-20.10-one.tar', 'docker-1.7-several.tar', 'buildah-oci-platforms.tar'])
    t.deepEqual(await warningsOf(join(fixtures, name)), ['LAYER_IS_IMAGE'])
  t.deepEqual(await warningsOf(write(scratch(t), tar(file('app/manifest.json'), directory('repositories/')))), [])
})

test('what cannot be translated is refused, and leaves nothing behind', async (t) => {
  const base = scratch(t)
  const branch = join(base, 'branch')
  mkdirSync(branch)
  writeFileSync(join(branch, '.wh...'), '')
  const tree = join(base, 'tree')
  mkdirSync(tree)
  writeFileSync(join(tree, '.wh.name'), '')
  const layer = write(base, tar(file('x')))
  const cut = write(base, tar(file('x', 'y'.repeat(5000))).subarray(0, 2048), 'cut.tar')
  const before = readdirSync(base).toSorted()
  const refused: readonly (readonly [string, string, TranslateOptions])[] = [
    ['WHITEOUT_INVALID', branch, {from: 'aufs', to: 'tar'}],
    ['WHITEOUT_INVALID', tree, {from: 'overlay', to: 'tar'}],
    ['WHITEOUT_INVALID', tree, {from: 'overlay', to: 'aufs'}],
    ['SOURCE_NOT_FOUND', join(base, 'none'), {from: 'aufs', to: 'tar'}],
    ['SOURCE_NOT_FOUND', join(base, 'none'), {from: 'tar', to: 'aufs'}],
    ['SOURCE_NOT_FOUND', layer, {from: 'aufs', to: 'inplace'}],
    ['SOURCE_NOT_FOUND', layer, {from: 'tar', to: 'aufs', lower: [join(base, 'none')]}],
    ['REFERENCE_INVALID', layer, {from: 'tar', to: 'tar', lower: [tree]}],
    ['REFERENCE_INVALID', branch, {from: 'aufs', to: 'inplace', lower: [tree]}],
    ['FORMAT_UNKNOWN', tree, {from: 'tar', to: 'aufs'}],
    ['TAR_TRUNCATED', cut, {from: 'tar', to: 'aufs'}],
    ['TAR_TRUNCATED', cut, {from: 'tar', to: 'tar'}],
    ['TARGET_INVALID', layer, {from: 'tar', to: 'inplace'}],
  ]
  for (const [code, source, options] of refused) {
    const error = await t.throwsAsync(translate(source, join(base, 'target'), options), undefined, `${code} ${source}`)
    t.is(isImgtoolError(error) ? error.code : String(error), code)
  }
  t.deepEqual(readdirSync(base).toSorted(), before)
  await t.throwsAsync(translate(cut, tree, {from: 'tar', to: 'inplace'}), {code: 'TAR_TRUNCATED'})
  t.deepEqual([readdirSync(base).toSorted(), readdirSync(tree)], [before, ['.wh.name']])
  await t.throwsAsync(translate(layer, tree, {from: 'tar', to: 'aufs'}), {message: /not empty/})
  t.true(existsSync(join(tree, '.wh.name')))
})
