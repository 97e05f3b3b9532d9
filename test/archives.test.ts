import {lstatSync, readdirSync, readFileSync, readlinkSync, statSync} from 'node:fs'
import {join} from 'node:path'
import process from 'node:process'
import test, {type ExecutionContext} from 'ava'
import {resolveV1} from '../src/ids.ts'
import type {Format, Image} from '../src/image/model.ts'
import {formatPlatform, openSource, type Source} from '../src/open.ts'
import {unpackImage} from '../src/unpack.ts'
import {type ExpectedImage, expected, fixture} from './helpers/fixtures.ts'
import {scratch} from './helpers/image.ts'
import {sharedDir, sharedTest} from './helpers/shared.ts'

async function open(t: ExecutionContext, path: string): Promise<Source> {
  const source = await openSource({transport: 'auto', path})
  t.teardown(() => source[Symbol.asyncDispose]())
  return source
}

async function unpack(t: ExecutionContext, image: Image): Promise<string> {
  const target = join(scratch(t), 'rootfs')
  await unpackImage(image, target)
  return target
}

/** An image of an archive of `shared/images`. */
interface Known {
  readonly names: readonly string[]
  /** Absent where the archive does not say it. */
  readonly imageID?: string
  readonly v1ID?: string
  readonly platform: string
  readonly layers: number
  /** Number of paths, the root included. */
  readonly paths: number
  /** Telling paths: what a file holds, where a link leads (`-> `), a mode in octal, `directory`, or null for what is not there. */
  readonly tree: Readonly<Record<string, string | null>>
}

const busybox = {'bin/busybox': '755', 'bin/sh': '755', tmp: '1777', 'etc/passwd': '644'}
const dive = {
  'root/example': null,
  'root/saved.txt': '755',
  'root/.saved.txt': '644',
  'root/.data/tag.sh': '755',
  'root/.data/saved.again2.txt': '644',
  'somefile.txt': '644',
}
const fixture26 = {
  // Without its owner it must not be set-user-id.
  'bin/busybox': process.getuid?.() === 0 ? '4755' : '755',
  'bin/sh': '-> busybox',
  'data/link': 'directory',
  'data/link/file': '644',
  'opq/new': '644',
  'etc/passwd': '644',
}

const known: Readonly<
  Record<string, {readonly format: Format; readonly compression?: string; readonly images: readonly Known[]}>
> = {
  'containerd-export-busybox-attestation.tar': {
    format: 'docker-archive',
    images: [
      {
        names: ['foo/bar:v3'],
        imageID: 'sha256:0f7981b59ce1b84d8ab35f636be2d5a3f94c83a9e1759ae8718f0b415285e402',
        platform: 'linux/arm64',
        layers: 1,
        paths: 442,
        tree: busybox,
      },
    ],
  },
  'docker-18-save-14-layers.tar': {
    format: 'docker-archive',
    images: [
      {
        names: ['dive-test:latest'],
        imageID: 'sha256:75ae28b8ebf89b203319069ddcbecdf5c3838503bbebc0d0d85e4b8589c5de3a',
        v1ID: 'cfb35bb5c127d848739be5ca726057e6e2c77b2849f588e7aebb642c0d3d4b7b',
        platform: 'linux/amd64',
        layers: 14,
        paths: 424,
        tree: {...dive, 'somefile.txt': '664', 'root/.data/tag.sh': '775', 'root/.data/test.sh': '755'},
      },
    ],
  },
  'docker-20-symlinked-layer.tar': {
    format: 'docker-archive',
    images: [
      {
        names: ['bazel/v1/tarball:test_image_1'],
        imageID: 'sha256:6e0b05049ed9c17d02e1a55e80d6599dbfcce7f4f4b022e3c673e685789c470e',
        v1ID: '6e77476643c3155b1e9ae07dd5a4c8288bdb6590c131c222b7a3f277dec1e266',
        platform: 'linux/amd64',
        layers: 1,
        paths: 3,
        tree: {foo: '555', bar: '555', test: null},
      },
      {
        names: ['bazel/v1/tarball:test_image_3'],
        imageID: 'sha256:d4c9adacde69c3d92446e0484cea29493e9fd573cf0c8febfc700d80c46697a4',
        v1ID: '3fe17a762ab6ad87de78c88326e1667b3e6a8924a0eb92a34a2bfeb40f49824d',
        platform: 'linux/amd64',
        layers: 2,
        paths: 4,
        tree: {foo: '555', bar: '555', test: '640'},
      },
    ],
  },
  'docker-25-hello-world.tar': {
    format: 'docker-archive',
    images: [
      {
        names: [],
        imageID: 'sha256:ee301c921b8aadc002973b2e0c3da17d701dcd994b606769a7e6eaa100b81d44',
        platform: 'linux/arm64',
        layers: 1,
        paths: 2,
        tree: {hello: '755'},
      },
    ],
  },
  // Made anew now and then, so its image IDs are not told.
  'docker-26-two-images.tar.gz': {
    format: 'docker-archive',
    compression: 'gzip',
    images: [
      {
        names: ['fixture-child:1'],
        platform: 'linux/amd64',
        layers: 6,
        paths: 22,
        tree: {...fixture26, 'data/child': 'child\n'},
      },
      {
        names: ['fixture:1', 'fixture:latest'],
        platform: 'linux/amd64',
        layers: 5,
        paths: 21,
        tree: {...fixture26, 'data/child': null},
      },
    ],
  },
  'docker-archive-whiteouts.tar': {
    format: 'docker-archive',
    images: [
      {
        names: ['bazel/pkg/v1/mutate:whiteout_image'],
        imageID: 'sha256:decb630649c3e1256345d416b228d6c3ceb387a55120ad44dc3ec992976d28b9',
        v1ID: '9c974b5759fc644ca0e9f30966a6a1007bd4f77388523e2b625a4bc7dfa9281e',
        platform: 'linux/amd64',
        layers: 3,
        paths: 2,
        tree: {'bar.txt': '555', 'foo.txt': null, '.wh.foo.txt': null},
      },
    ],
  },
  'docker-multi-image.tar': {
    format: 'docker-archive',
    images: [
      {
        names: ['test_image_2'],
        imageID: 'sha256:930705ce23e3b6ed4c08746b6fe880089c864fbaf62482702ae3fdd66b8c7fe9',
        v1ID: '8e17bd53a9cb6d38a0c7d21e8a0f943449f494aa0c3de2425a3dd9be8844a19b',
        platform: 'linux/amd64',
        layers: 1,
        paths: 3,
        tree: {bat: '555', baz: '555'},
      },
      {
        names: ['test_image_1'],
        imageID: 'sha256:6e0b05049ed9c17d02e1a55e80d6599dbfcce7f4f4b022e3c673e685789c470e',
        v1ID: '555b1001d54ed229f56990845856f080b0707348b26b3aa85aaf58d5570cdee0',
        platform: 'linux/amd64',
        layers: 1,
        paths: 3,
        tree: {foo: '555', bar: '555'},
      },
    ],
  },
  'docker-v1-centos-empty-layers.tar': {
    format: 'docker-v1',
    images: [
      {
        names: ['matthughes/library-centos:6-2015.03.20'],
        v1ID: '25445a0fc5025c3917a0cd6e307d92322540e0da691614312ddea22511b71513',
        platform: 'linux/amd64',
        layers: 3,
        paths: 3,
        tree: {tmp: '1777', 'tmp/foo': '644'},
      },
    ],
  },
  'docker-v1-dirs-and-config-without-manifest.tar': {
    format: 'docker-v1',
    images: [
      {
        names: ['bazel/v1/tarball:test_image'],
        v1ID: 'c47412cb682fcf4ae43f536a788069f78552f928a55eeb09ba1455e0f9a2306e',
        platform: 'linux/amd64',
        layers: 1,
        paths: 5,
        tree: {'foo/foo': '644', 'foo/hey': ''},
      },
    ],
  },
  'kaniko.tar': {
    format: 'docker-archive',
    images: [
      {
        names: ['dive-test:kaniko-latest'],
        imageID: 'sha256:ae16a51058a758c7963b2f9b23d1acfa201ce9cbefc8cb93845f8cd934fb144d',
        platform: 'linux/amd64',
        layers: 14,
        paths: 430,
        tree: {...dive, 'root/.data/test-coverage.sh': '755'},
      },
    ],
  },
  'oci-archive-busybox-1.31.1.tar': {
    format: 'oci',
    images: [
      {
        names: [],
        imageID: 'sha256:2f2d4db2ef818c1c897eb71421e8a250daf19e21a4ec4c00a549b16ed0c2b46b',
        platform: 'linux/amd64',
        layers: 1,
        paths: 421,
        tree: busybox,
      },
    ],
  },
  'oci-archive-estargz.tar': {
    format: 'oci',
    images: [
      {
        names: [],
        imageID: 'sha256:5c153971f5feeb018fab88c379f94ef9171ba1990163d32852fd27bf55ed5b74',
        platform: 'linux/arm64',
        layers: 1,
        paths: 2,
        tree: {'README.md': '644'},
      },
    ],
  },
  ...Object.fromEntries(
    ['uncompressed', 'zstd'].map((compression) => [
      `oci-archive-${compression}.tar`,
      {
        format: 'oci' as const,
        images: [
          {
            names: [],
            imageID: 'sha256:3eaccc100f866490f00ae82727b459a737af031dcf44c791d8aa714a70f24959',
            platform: 'linux/arm64',
            layers: 1,
            paths: 2,
            tree: {'README.md': '644'},
          },
        ],
      },
    ]),
  ),
  'skopeo-docker-archive-busybox.tar': {
    format: 'docker-archive',
    images: [
      {
        names: [],
        imageID: 'sha256:6d5fcfe5ff170471fcc3c8b47631d6d71202a1fd44cf3c147e50c8de21cf0648',
        platform: 'linux/amd64',
        layers: 1,
        paths: 421,
        tree: busybox,
      },
    ],
  },
}

const refused = {'not-an-image-rootfs.tar': ['FORMAT_UNKNOWN', /looks like a root file system/]} as const
const images = join(sharedDir() ?? '', 'images')

for (const [name, {format, compression, images: wanted}] of Object.entries(known)) {
  sharedTest(`reads and unpacks ${name}`, async (t) => {
    const {archive, set} = await open(t, join(images, name))
    t.is(set.format, format)
    t.is(archive.compression, compression)
    t.deepEqual(set.warnings, [])
    t.deepEqual(
      set.images.map(({names}) => names),
      wanted.map(({names}) => names),
    )
    for (const [at, {imageID, v1ID, platform, layers, paths, tree}] of wanted.entries()) {
      const image = set.images[at]!
      if (imageID !== undefined) t.is<string | undefined, string>(image.imageID, imageID)
      if (v1ID !== undefined) t.is(image.v1ID, v1ID)
      t.is(formatPlatform(image.platform), platform)
      t.is(image.layers.length, layers)
      const target = await unpack(t, image)
      t.is(countPaths(target), paths)
      t.deepEqual(
        Object.fromEntries(Object.entries(tree).map(([path, as]) => [path, factOf(join(target, path), as)])),
        tree,
      )
    }
  })
}

/** The directory itself counts. Node's own recursion follows links. */
function countPaths(directory: string): number {
  const below = readdirSync(directory, {withFileTypes: true}).map((entry) =>
    entry.isDirectory() ? countPaths(join(directory, entry.name)) : 1,
  )
  return below.reduce((sum, count) => sum + count, 1)
}

/** What is at a path, said in the way that is expected of it. */
function factOf(path: string, as: string | null): string | null {
  const stats = lstatSync(path, {throwIfNoEntry: false})
  if (stats === undefined) return null
  if (stats.isSymbolicLink()) return `-> ${readlinkSync(path)}`
  if (as === 'directory') return stats.isDirectory() ? as : 'no directory'
  return /^[0-7]{3,4}$/.test(as ?? '') ? (stats.mode & 0o7777).toString(8) : readFileSync(path, 'utf8')
}

for (const [name, [code, message]] of Object.entries(refused)) {
  sharedTest(`refuses ${name} with the right words`, async (t) => {
    await t.throwsAsync(openSource({transport: 'auto', path: join(images, name)}), {code, message})
  })
}

sharedTest('names every archive that is shared', (t) => {
  const archives = readdirSync(images).filter((name) => /\.tar/.test(name))
  t.deepEqual(archives.toSorted(), [...Object.keys(known), ...Object.keys(refused)].toSorted())
})

sharedTest('keeps the links of an image together', async (t) => {
  const {set} = await open(t, join(images, 'oci-archive-busybox-1.31.1.tar'))
  const target = await unpack(t, set.images[0]!)
  t.is(statSync(join(target, 'bin/sh')).ino, statSync(join(target, 'bin/busybox')).ino)
  if (process.getuid?.() === 0) t.is(statSync(join(target, 'home')).uid, 65534)
})

test('names every archive of the repository', (t) => {
  const archives = readdirSync(fixture('.')).filter((name) => /\.tar/.test(name))
  t.deepEqual(archives.toSorted(), Object.keys(expected).toSorted())
})

for (const [name, {images: wanted}] of Object.entries(expected)) {
  test(`reads ${name} as the tools do`, async (t) => {
    const source = await open(t, fixture(name))
    const found = await Promise.all(source.set.images.map((image) => factsOf(source, image)))
    const told = wanted.map(asTold)
    t.is(found.length, told.length)
    for (const image of told) {
      const same = found.find(({imageID, platform}) => imageID === image.imageID && platform === image.platform)
      // What a tool did not say is not compared.
      t.deepEqual<unknown, unknown>({...same, ...image}, same)
    }
  })
}

/** What docker and skopeo say, in the words of imgtool; `parent` is for the tests of trees. */
function asTold({parent: _, ...image}: ExpectedImage & {parent?: unknown}) {
  // Docker passes on what docker 0.7 wrote.
  const platform = image.platform?.replace('x86_64', 'amd64')
  return {...image, platform, names: image.names.toSorted()}
}

/** An image in the words of `expected.json`. */
async function factsOf({set}: Source, image: Image) {
  const v1 = image.v1ID === undefined || set.format !== 'docker-v1' ? undefined : (await resolveV1(set)).get(image.v1ID)
  return {
    names: image.names.toSorted(),
    imageID: String(v1?.imageID ?? image.imageID),
    v1ID: image.v1ID,
    config: (v1?.config ?? image.config).toString(),
    platform: formatPlatform(image.platform),
    diffIDs: v1?.diffIDs ?? image.layers.map(({diffID}) => diffID ?? ''),
    steps: image.history.length,
    emptySteps: image.history.filter(({emptyLayer}) => emptyLayer).length,
    manifestDigest: image.manifestDigest,
  }
}
