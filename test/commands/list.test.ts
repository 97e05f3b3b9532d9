import test from 'ava'
import {formatPlatform} from '../../src/open.ts'
import type {ListedImage} from '../../src/view/list.ts'
import {checkUnreadable, imgtool, spawnImgtool} from '../helpers/cli.ts'
import {expected, fixture} from '../helpers/fixtures.ts'
import {damagedLayer, dockerMembers, tarOf, writeScratch} from '../helpers/image.ts'

for (const [name, archive] of Object.entries(expected)) {
  test.serial(`list knows every image of ${name}`, async (t) => {
    const {error, stdout, stderr} = await imgtool('list', fixture(name), '--image-ids', '--json')
    t.is(error, undefined)
    t.is(stderr, '')
    const {images} = JSON.parse(stdout) as {images: ListedImage[]}
    const facts = images.map(({names, imageID, platform}) => [names.toSorted(), imageID, formatPlatform(platform)])
    const wanted = archive.images.map(({names, imageID, platform}) => [
      names.toSorted(),
      imageID,
      shownPlatform(platform),
    ])
    t.deepEqual(facts.toSorted(), wanted.toSorted())
  })

  test.serial(`the references that list gives select the images of ${name}`, async (t) => {
    const {images} = JSON.parse((await imgtool('list', fixture(name), '--json')).stdout) as {images: ListedImage[]}
    for (const image of images) {
      const {stdout} = await imgtool('list', image.reference, '--json')
      t.deepEqual(JSON.parse(stdout).images, [image])
    }
  })
}

test.serial('list shows a row for each name, and v1 ids before docker 1.10', async (t) => {
  const {stdout} = await imgtool('list', fixture('docker-0.7.tar'))
  const [head, ...rows] = stdout.trimEnd().split('\n')
  t.regex(head ?? '', /^INDEX +NAME +IMAGE ID +PLATFORM +CREATED +LAYERS +SIZE$/)
  t.deepEqual(
    rows.map((row) => row.split(/\s+/).slice(0, 2)),
    [
      ['@0', 'shop/web:0.7'],
      ['@0', 'shop/web:latest'],
      ['@1', 'shop/base:2013'],
    ],
  )
})

test.serial('list --quiet prints an id for each image', async (t) => {
  const {stdout} = await imgtool('list', fixture('docker-20.10-several.tar'), '--quiet', '--no-trunc')
  t.deepEqual(
    stdout.trimEnd().split('\n').toSorted(),
    expected['docker-20.10-several.tar']?.images.map(({imageID}) => imageID).toSorted(),
  )
})

test.serial('list shows only the platform that is asked for', async (t) => {
  const {stdout} = await imgtool('list', fixture('buildah-oci-platforms.tar'), '--platform', 'linux/arm64', '--json')
  const {images} = JSON.parse(stdout) as {images: ListedImage[]}
  t.deepEqual(
    images.map(({platform}) => platform),
    [{os: 'linux', architecture: 'arm64', variant: 'v8'}],
  )
})

test.serial('list names archives where there are several', async (t) => {
  const names = [fixture('docker-0.7.tar'), fixture('umoci-oci.tar')]
  const {stdout} = await imgtool('list', ...names)
  t.regex(stdout, /^ARCHIVE/)
  for (const name of names) t.true(stdout.includes(name))
})

/** As Go names it, where docker before 1.0 wrote the kernel's name or nothing. */
function shownPlatform(platform = 'linux/amd64'): string {
  return platform.replace('x86_64', 'amd64')
}

test.serial('estimates are explained after text, and nowhere else', async (t) => {
  const files = Array.from({length: 3000}, (_, n) => ({name: `f${n}`, body: ''}))
  const name = writeScratch(t, tarOf(dockerMembers([{names: ['app:1'], layers: [tarOf(files)]}])))
  const told = 'Sizes with ~ are estimates from stored bytes; --exact-sizes reads the layers\n'
  for (const command of ['list', 'tree']) {
    t.is((await imgtool(command, name)).stderr, told)
    for (const flag of ['--exact-sizes', '--quiet', '--json']) t.is((await imgtool(command, name, flag)).stderr, '')
    t.is((await imgtool(command, fixture('docker-20.10-one.tar'))).stderr, '')
  }
  t.is((await imgtool('tree', name, '--dot')).stderr, '')
})

test('list goes on after an archive that cannot be read, and fails', async (t) => {
  const [one, damaged] = [fixture('umoci-oci.tar'), damagedLayer(t)]
  const {status, stdout, stderr} = await spawnImgtool(['list', '/nowhere.tar', one, damaged, '--exact-sizes'])
  t.is(status, 1)
  t.deepEqual(stdout, (await spawnImgtool(['list', one, '--exact-sizes'])).stdout)
  checkUnreadable(t, stderr, ['/nowhere.tar', damaged])
})

test('list --json has the errors beside the images; one archive alone is an error as with every command', async (t) => {
  const one = fixture('umoci-oci.tar')
  const several = await spawnImgtool(['list', one, '/nowhere.tar', '--json'])
  t.is(several.status, 1)
  t.is(several.stderr, '')
  const {images, errors} = JSON.parse(several.stdout.toString())
  t.is(images.length, 1)
  t.like(errors, {0: {code: 'SOURCE_NOT_FOUND', archive: '/nowhere.tar'}, length: 1})
  t.deepEqual(JSON.parse((await spawnImgtool(['list', one, '--json'])).stdout.toString()).errors, [])
  const alone = await spawnImgtool(['list', '/nowhere.tar', '--json'])
  t.deepEqual(Object.keys(JSON.parse(alone.stdout.toString())), ['error'])
})

test('list holds every archive to the limits alone', async (t) => {
  const one = fixture('umoci-oci.tar')
  t.is((await spawnImgtool(['list', one, one, one, '--limit', 'descriptors=2'])).status, 0)
  t.is((await spawnImgtool(['list', one, '--limit', 'descriptors=1'])).status, 1)
})

test('a misuse of one of several archives is one of the whole run', async (t) => {
  const {status, stdout} = await spawnImgtool(['list', fixture('umoci-oci.tar'), '/nowhere.tar:@x'])
  t.is(status, 2)
  t.is(stdout.length, 0)
})
