/** Stores that imgtool fills: a dockerd has the images as its own, every driver shows one tree, and runs that are killed leave nothing. */
import {createHash} from 'node:crypto'
import {createReadStream, existsSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {pipeline} from 'node:stream/promises'
import {fileURLToPath} from 'node:url'
import test, {type ExecutionContext} from 'ava'
import type {DriverName} from '../../src/driver/driver.ts'
import {describeEnding, runImgtool} from '../harness/imgtool.ts'
import {Dice} from '../harness/random.ts'
import {spawnImgtool} from '../helpers/cli.ts'
import {type Dockerd, startDockerd} from '../helpers/dockerd.ts'
import {scanMount, withTimesOfDockerd} from '../helpers/dockerd-mount.ts'
import {hybridMembers, tarOf} from '../helpers/image.ts'
import {interopTest, makeScratch, removeScratch} from '../helpers/interop.ts'
import {run} from '../helpers/run.ts'
import {compareTrees, scanTree, type Tree} from '../helpers/scan-tree.ts'
import {findLeftovers, readNames, scanPlace} from '../helpers/store-state.ts'
import {directory, file, hardlink, symlink, tar} from '../helpers/tar.ts'

const fixtures = fileURLToPath(new URL('../../fixtures/', import.meta.url))
const scratch = makeScratch()
const drivers = ['overlay2', 'vfs', 'aufs'] as const

test.after.always('clean up', () => removeScratch(scratch))

/** Of docker 25, and its layers are what drivers get wrong. */
const hybrid = join(scratch, 'hybrid.tar')
writeFileSync(
  hybrid,
  tarOf(
    hybridMembers([
      {
        names: ['hybrid:1'],
        config: {config: {Cmd: ['/nothing']}},
        layers: [
          tar(
            directory('d/'),
            file('d/kept', 'kept'),
            file('d/gone', 'gone'),
            directory('opaque/'),
            file('opaque/lower', 'lower'),
            directory('again/'),
            file('again/lower', 'lower'),
            file('file', 'shared'),
            hardlink('d/hard', 'file'),
            symlink('to-d', 'd'),
            directory('only/'),
            file('only/lower', 'lower'),
          ),
          tar(
            file('d/.wh.gone', ''),
            file('d/.wh.never', ''),
            directory('opaque/'),
            file('opaque/.wh..wh..opq', ''),
            file('opaque/upper', 'upper'),
            file('.wh.again', ''),
            directory('again/'),
            file('again/upper', 'upper'),
            hardlink('link-to-lower', 'd/kept'),
            file('implied/parent', 'implied'),
          ),
          tar(file('only/.wh.lower', ''), file('d/.wh.hard', ''), file('.wh.link-to-lower', '')),
        ],
      },
    ]),
  ),
)
/** A layer of it has a file below a symlink of a lower layer, which dockerd would save elsewhere. */
const led = join(scratch, 'led.tar')
writeFileSync(
  led,
  tarOf(
    hybridMembers([
      {
        names: ['led:1'],
        layers: [
          tar(directory('d/'), file('d/a', 'a'), symlink('to-d', 'd'), file('z', 'z')),
          tar(file('to-d/b', 'b'), file('to-d/.wh.a', ''), hardlink('to-d/y', 'z')),
        ],
      },
    ]),
  ),
)
const shell = `${fixtures}docker-20.10-shell.tar.xz`
const several = `${fixtures}docker-20.10-several.tar`
/** The first of these names are those of others later. */
const first = [`${fixtures}docker-0.7.tar`, hybrid, `${fixtures}skopeo-oci-gzip.tar`, shell]
const sources = [...first, several]
/** What comes out of a store as it went in. */
const sound = [
  ...sources,
  led,
  ...['umoci-oci.tar', 'umoci-oci-sparse.tar', 'docker-1.9-by-id.tar'].map((name) => fixtures + name),
]

for (const driver of ['overlay2', 'vfs'] as const) {
  interopTest(`dockerd on ${driver} has the images that were unpacked as its own, and lets go of them`, async (t) => {
    const daemon = join(scratch, `d-${driver}`)
    mkdirSync(daemon)
    const store = join(daemon, 'data')
    const wanted = new Map<string, string>()
    const ids = new Set<string>()
    const fill = async (archive: string) => {
      await unpack(t, driver, archive, store)
      for (const {imageID, names} of await list(t, archive)) {
        ids.add(imageID)
        for (const name of names) wanted.set(name, imageID)
      }
    }
    for (const archive of first) await fill(archive)
    await withDockerd(daemon, driver, async (dockerd) => {
      await compareNames(t, dockerd, wanted, ids)
      for (const archive of first) await compareImages(t, dockerd, archive, driver)
      t.is(
        await dockerd.docker('run', '--rm', '--network', 'none', 'shop/shell:1', 'sh', '-c', 'echo $((6 * 7))'),
        '42\n',
      )
    })
    const before = await scanStore(store, driver)
    await fill(several)
    await unpack(t, driver, shell, store)
    const after = await scanStore(store, driver)
    t.deepEqual(compareTrees(before, new Map([...after].filter(([path]) => before.has(path)))), [])
    t.true(after.size > before.size)
    await withDockerd(daemon, driver, async (dockerd) => {
      await compareNames(t, dockerd, wanted, ids)
      await compareImages(t, dockerd, several, driver)
      await compareImages(t, dockerd, shell, driver)
      // Those that were made of others come last.
      await dockerd.docker('rmi', '--force', ...[...ids].toReversed())
      t.is(await dockerd.docker('images', '--all', '--quiet'), '')
    })
    const left = [...(await scanStore(store, driver)).keys()]
    t.deepEqual(
      left.filter((path) => /[0-9a-f]{64}|\/l\//.test(path)),
      [],
    )
  })
}

interopTest(
  'dockerd makes containers of as many layers as are unpacked with overlay, and one more is refused',
  async (t) => {
    const daemon = join(scratch, 'd-deep')
    mkdirSync(daemon)
    const store = join(daemon, 'data')
    const refused = await spawnImgtool(['unpack', '--driver', 'overlay', writeDeep(128), store])
    t.not(refused.status, 0)
    t.regex(refused.stderr, /^Error: Cannot stack 128 layers: docker mounts at most 127 with overlay2.*\n/)
    t.false(existsSync(store))
    const [image] = await unpack(t, 'overlay', writeDeep(127), store)
    await withDockerd(daemon, 'overlay2', async (dockerd) => {
      const tree = await exportTree(dockerd, image!.imageID)
      t.is([...tree.keys()].filter((path) => path.startsWith('layer-')).length, 127)
    })
  },
)

function writeDeep(count: number): string {
  const layers = Array.from({length: count}, (_, at) => tar(file(`layer-${at}`, String(count))))
  const path = join(scratch, `deep-${count}.tar`)
  writeFileSync(path, tarOf(hybridMembers([{names: [`deep:${count}`], layers}])))
  return path
}

for (const archive of sound) {
  interopTest(
    `${archive.slice(archive.lastIndexOf('/') + 1)}: every driver shows one tree, and gives the image back`,
    async (t) => {
      for (const driver of drivers) {
        const store = newPath(driver)
        const unpacked = await unpack(t, driver, archive, store)
        await compareTreesOf(t, archive, {store, driver, unpacked})
        t.deepEqual(findLeftovers(store, driver), [])
        const layout = newPath('layout')
        await imgtool(t, 'convert', `docker-root:${store}`, `oci:${layout}`)
        const copied = await list(t, `oci:${layout}`)
        t.deepEqual(copied.map(({imageID}) => imageID).toSorted(), unpacked.map(({imageID}) => imageID).toSorted())
        for (const at of copied.keys()) {
          const found = unpacked.find(({imageID}) => imageID === copied[at]!.imageID)!
          t.deepEqual(await diffIDsOf(t, `oci:${layout}:@${at}`), found.diffIDs)
        }
      }
    },
  )
}

for (const driver of drivers) {
  interopTest(
    `${driver}: many runs fill one store, and those that are killed leave nothing to the next ones`,
    async (t) => {
      const dice = new Dice(1)
      const startAll = (store: string, kills?: readonly (number | undefined)[]) =>
        Promise.all(
          Array.from({length: 16}, (_, at) => {
            const words = ['unpack', '--driver', driver, sound[at % sound.length]!, store]
            const afterMs = kills?.[at]
            const kill = afterMs === undefined ? {} : {kill: {signal: 'SIGKILL' as const, afterMs}}
            return runImgtool(words, {env: {IMGTOOL_THREADS: String(1 + dice.below(2))}, ...kill})
          }),
        )
      const start = performance.now()
      const undisturbed = newPath('undisturbed')
      const endings = await startAll(undisturbed)
      const durationMs = performance.now() - start
      for (const ending of endings) t.is(ending.status, 0, describeEnding(ending))
      await compareAll(t, driver, undisturbed)

      const store = newPath('disturbed')
      const kills = endings.map((_, at) => (at % 2 === 1 ? dice.below(durationMs) : undefined))
      for (const ending of await startAll(store, kills))
        if (ending.signal !== 'SIGKILL') t.is(ending.status, 0, describeEnding(ending))
      t.log(`${findLeftovers(store, driver).length} leftovers of those that were killed`)
      await compareAll(t, driver, store)
    },
  )
}

/** Unpacks each archive once more, and looks at the whole store. */
async function compareAll(t: ExecutionContext, driver: DriverName, store: string): Promise<void> {
  const wanted = new Map<string, string>()
  for (const archive of sound) {
    const unpacked = await unpack(t, driver, archive, store)
    await compareTreesOf(t, archive, {store, driver, unpacked})
    for (const {imageID, names} of unpacked) for (const name of names) wanted.set(name, imageID)
  }
  t.deepEqual(findLeftovers(store, driver), [])
  t.deepEqual(readNames(store, driver), [...wanted].map((pair) => pair.join(' ')).toSorted())
  await imgtool(t, 'verify', `docker-root:${store}`)
}

interface Filled {
  readonly store: string
  readonly driver: DriverName
  readonly unpacked: readonly Unpacked[]
}

async function compareTreesOf(t: ExecutionContext, archive: string, {store, driver, unpacked}: Filled): Promise<void> {
  for (const [at, {diffIDs}] of unpacked.entries()) {
    const tree = await scanUnpacked(t, `${archive}:@${at}`)
    t.deepEqual(compareTrees(tree, await scanPlace(store, driver, diffIDs)), [], `${archive}:@${at} on ${driver}`)
  }
}

async function withDockerd(home: string, driver: 'overlay2' | 'vfs', use: (dockerd: Dockerd) => Promise<void>) {
  const dockerd = await startDockerd(home, driver)
  try {
    await use(dockerd)
  } finally {
    await dockerd.stop()
  }
}

/** Of what has a name and what has none. */
async function compareNames(
  t: ExecutionContext,
  {docker}: Dockerd,
  wanted: ReadonlyMap<string, string>,
  ids: Set<string>,
) {
  const format = '{{.Repository}}:{{.Tag}} {{.ID}}'
  const lines = (await docker('images', '--all', '--no-trunc', '--format', format)).trim().split('\n')
  const named = lines.filter((line) => !line.startsWith('<none>'))
  t.deepEqual(named.toSorted(), [...wanted].map((pair) => pair.join(' ')).toSorted())
  t.deepEqual([...new Set(lines.map((line) => line.split(' ')[1]!))].toSorted(), [...ids].toSorted())
}

/** What dockerd saves and what its containers see. */
async function compareImages(t: ExecutionContext, dockerd: Dockerd, archive: string, driver: 'overlay2' | 'vfs') {
  for (const [at, {imageID, diffIDs}] of (await unpack(t, driver, archive, newPath('again'))).entries()) {
    t.deepEqual(await saveLayers(dockerd, imageID), diffIDs)
    const tree = await scanUnpacked(t, `${archive}:@${at}`)
    t.deepEqual(compareTrees(asExported(tree), asExported(await exportTree(dockerd, imageID))), [], archive)
    if (driver === 'overlay2' && diffIDs.length > 1)
      t.deepEqual(compareTrees(tree, await scanMount(dockerd, imageID, newPath('mount'))), [])
  }
}

/** @returns digests of the layers that dockerd saves, base first */
async function saveLayers({docker}: Dockerd, image: string): Promise<string[]> {
  const saved = newPath('saved')
  mkdirSync(saved)
  await docker('save', '--output', `${saved}.tar`, image)
  await run('tar', ['-C', saved, '-xf', `${saved}.tar`])
  const [{Layers}] = JSON.parse(readFileSync(join(saved, 'manifest.json'), 'utf8')) as [{Layers: string[]}]
  return Promise.all(Layers.map((layer) => digestFile(join(saved, layer))))
}

async function digestFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return `sha256:${hash.digest('hex')}`
}

async function exportTree({docker}: Dockerd, image: string): Promise<Tree> {
  const exported = newPath('exported')
  mkdirSync(exported)
  const container = (await docker('create', '--network', 'none', image, '/nothing')).trim()
  await docker('export', '--output', `${exported}.tar`, container)
  await docker('rm', container)
  await run('tar', ['-C', exported, '--xattrs', '--xattrs-include=*', '--numeric-owner', '-xpf', `${exported}.tar`])
  return scanTree(exported)
}

/** What docker puts into every container, with the directories that it is in. */
const ofContainers = /^(?:\.dockerenv|dev|etc|proc|sys|(?:dev|proc|sys)\/.*|etc\/(?:hosts|hostname|resolv\.conf|mtab))$/

/** Exported times are whole seconds. */
function asExported(tree: Tree): Tree {
  const second = 1_000_000_000n
  const kept = [...withTimesOfDockerd(tree)].filter(([path]) => !ofContainers.test(path))
  return new Map(kept.map(([path, entry]) => [path, {...entry, mtimeNs: entry.mtimeNs / second}]))
}

/** The places and what refers to them, without what a daemon writes for itself. */
async function scanStore(store: string, driver: string): Promise<Tree> {
  const folders = [driver, `image/${driver}/layerdb/sha256`, `image/${driver}/imagedb/content`]
  const trees = folders.map((folder) => [folder, scanTree(join(store, folder))] as const)
  const entries = trees.flatMap(([folder, tree]) =>
    [...tree].map(([path, entry]) => [`${folder}/${path}`, entry] as const),
  )
  // A directory has another time with each place in it.
  return new Map(entries.filter(([path]) => /[0-9a-f]{64}|\/l\//.test(path)))
}

interface Unpacked {
  readonly imageID: string
  readonly names: readonly string[]
  readonly diffIDs: readonly string[]
}

async function unpack(t: ExecutionContext, driver: string, archive: string, store: string): Promise<Unpacked[]> {
  return JSON.parse((await imgtool(t, 'unpack', '--json', '--driver', driver, archive, store)).stdout).images
}

interface Listed {
  readonly imageID: string
  readonly names: readonly string[]
}

async function list(t: ExecutionContext, reference: string): Promise<Listed[]> {
  return JSON.parse((await imgtool(t, 'list', '--image-ids', '--json', reference)).stdout).images
}

async function diffIDsOf(t: ExecutionContext, reference: string): Promise<string[]> {
  const {layers} = JSON.parse((await imgtool(t, 'inspect', '--json', reference)).stdout)
  return layers.map(({diffID}: {diffID: string}) => diffID)
}

/** By reference: many tests compare with the same ones. */
const trees = new Map<string, Tree>()

async function scanUnpacked(t: ExecutionContext, reference: string): Promise<Tree> {
  const known = trees.get(reference)
  if (known !== undefined) return known
  const target = newPath('tree')
  await imgtool(t, 'unpack', reference, target)
  const tree = scanTree(target)
  trees.set(reference, tree)
  return tree
}

async function imgtool(t: ExecutionContext, ...words: readonly string[]) {
  const {status, stdout, stderr} = await spawnImgtool([...words])
  t.is(status, 0, stderr)
  return {stdout: stdout.toString(), stderr}
}

let paths = 0

function newPath(name: string): string {
  return join(scratch, `${name}-${paths++}`)
}
