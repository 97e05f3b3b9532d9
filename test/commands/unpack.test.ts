import {join} from 'node:path'
import test from 'ava'
import {spawnImgtool} from '../helpers/cli.ts'
import {fixture} from '../helpers/fixtures.ts'
import {scratch} from '../helpers/image.ts'

const platforms = fixture('buildah-oci-platforms.tar')
const platformOfThisMachine = process.arch === 'arm64' ? 'linux/arm64' : 'linux/amd64'

/** Unpacks into a data-root, as a document. */
async function fill(...words: string[]) {
  const {stdout, status, stderr} = await spawnImgtool(['unpack', '--driver', 'vfs', '--json', ...words])
  return {status, stderr, document: JSON.parse(stdout.toString())}
}

test('a data-root gets of each name the image for this machine, unless another one is asked for', async (t) => {
  const folder = scratch(t)
  const idsOf = async (name: string, ...words: string[]) => {
    const {document} = await fill(platforms, join(folder, name), ...words)
    return document.images.map(({imageID}: {imageID: string}) => imageID)
  }
  const own = await idsOf('own', '--platform', platformOfThisMachine, '--tag', 'app:1')
  t.is(own.length, 1)
  t.deepEqual(await idsOf('tagged', '--tag', 'app:1'), own)
  t.deepEqual(await idsOf('untagged'), own)
  t.notDeepEqual(
    await idsOf('other', '--platform', platformOfThisMachine === 'linux/arm64' ? 'linux/amd64' : 'linux/arm64'),
    own,
  )
})

test('what a data-root has got is said in words and in a document', async (t) => {
  const store = join(scratch(t), 'store')
  const words = [fixture('docker-20.10-one.tar'), store, '--tag', 'docker.io/library/app:1', '--tag', 'web']
  const {stderr} = await spawnImgtool(['unpack', '--driver', 'vfs', ...words])
  const {document} = await fill(...words)
  const [{imageID, names}] = document.images
  t.deepEqual(names, ['app:1', 'web:latest'])
  t.true(stderr.includes(`Loaded image: app:1, web:latest (${imageID.slice(7, 19)})\nUnpacked 1 image, `), stderr)
  const nameless = await spawnImgtool(['unpack', '--driver', 'vfs', fixture('docker-20.10-by-id.tar'), store])
  t.regex(nameless.stderr, /^Loaded image ID: sha256:[0-9a-f]{64}\nUnpacked /m)
})
