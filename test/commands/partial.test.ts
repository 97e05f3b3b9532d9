import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import path from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {extract} from 'tar'
import {sha256} from '../../src/digest.ts'
import type {SizedNode} from '../../src/image/parents.ts'
import {imgtool} from '../helpers/cli.ts'
import {fixture} from '../helpers/fixtures.ts'
import {
  app,
  blobMember,
  descriptorOf,
  dockerMembers,
  imageBlobs,
  layerOf,
  layoutMembers,
  type Member,
  manifestOf,
  namedManifest,
  ociMembers,
  tarOf,
  without,
  writeScratch,
} from '../helpers/image.ts'

const whole = fixture('docker-1.7-several.tar')

/** An archive before docker 1.10 as a directory, without its names and its lowest layer. */
async function partialArchive(t: ExecutionContext): Promise<{directory: string; missing: string}> {
  const missing = (await imgtool('list', `${whole}:shop/base:2013`, '-q', '--no-trunc')).stdout.trim()
  const directory = await mkdtemp(path.join(tmpdir(), 'imgtool-test-'))
  t.teardown(() => rm(directory, {recursive: true}))
  await extract({
    file: whole,
    cwd: directory,
    filter: (name) => !name.includes(missing) && !name.includes('repositories'),
  })
  return {directory, missing}
}

test.serial('a partial archive is drawn and listed, and says what is missing when it is read', async (t) => {
  const {directory, missing} = await partialArchive(t)
  const {stdout: tree} = await imgtool('tree', directory)
  t.regex(tree, new RegExp(`Virtual Size: ~0 B \\(parent ${missing.slice(0, 12)} missing\\)`))
  t.regex((await imgtool('list', directory, '--image-ids')).stdout, /@0 .* partial\n@1 .* partial\n/)
  t.is((await imgtool('history', `${directory}:@0`)).error, undefined)
  for (const words of [[], ['--config']]) {
    const {error, stdout} = await imgtool('inspect', `${directory}:@0`, '--json', ...words)
    t.is(error?.oclif?.exit, 1)
    t.is(JSON.parse(stdout).error.code, 'PARENT_MISSING')
  }
})

test.serial('an image without one of its layers is inspected, and nothing is said of what that is', async (t) => {
  const recipe = {layers: [layerOf('here'), layerOf('gone')]}
  const gone = blobMember(layerOf('gone')).name
  const members = [dockerMembers([recipe]), ociMembers([recipe])] as const
  const [first = ''] = members[0]
    .filter(({name}) => name.endsWith('/layer.tar'))
    .map(({name}) => name)
    .slice(1)
  for (const archive of [without(members[0], first), without(members[1], gone)]) {
    const image = writeScratch(t, tarOf(archive))
    const {stdout, error} = await imgtool('inspect', image, '--json')
    t.is(error, undefined)
    const {layers} = JSON.parse(stdout) as {layers: {compression: string; sizeExact: boolean}[]}
    t.deepEqual(
      layers.map(({compression, sizeExact}) => [compression, sizeExact]),
      [
        ['none', true],
        ['unknown', false],
      ],
    )
    t.regex((await imgtool('inspect', image)).stdout, / unknown /)
  }
})

test.serial('what is missing from one archive is found in another', async (t) => {
  const {directory} = await partialArchive(t)
  const ids = async (...words: string[]) =>
    (JSON.parse((await imgtool('tree', ...words, '--json')).stdout).nodes as SizedNode[]).map(({id, parent}) => [
      id,
      parent,
    ])
  t.deepEqual(await ids(directory, whole), await ids(whole))
})

for (const [what, members, layer] of [
  ['a layout', without(ociMembers([app]), blobMember(layerOf('base')).name), sha256(layerOf('base'))],
  ['a docker archive', without(dockerMembers([app]), dockerMembers([app])[1]!.name), dockerMembers([app])[1]!.name],
] as const) {
  test.serial(`the size of an image of ${what} is not told as if a missing layer were nothing`, async (t) => {
    const path = writeScratch(t, tarOf(members as readonly Member[]))
    const warning = `Warning: Image "app:1" is partial: Cannot find layer 0 "${layer}" in the archive\n`
    for (const flags of [[], ['--exact-sizes']]) {
      const listed = await imgtool('list', path, ...flags)
      t.regex(listed.stdout, /app:1 .* partial\n/)
      t.is(listed.stderr, warning)
      t.is((await imgtool('tree', path, ...flags)).stderr, warning)
    }
    t.is((await imgtool('history', path)).stderr, warning)
    const document = JSON.parse((await imgtool('list', path, '--json')).stdout)
    t.like(document.images[0], {sizeExact: false, broken: warning.slice(34).trim()})
    t.is(document.warnings.length, 1)
  })
}

test.serial('a layer that is left out on purpose is said to be, and where it is', async (t) => {
  const layer = descriptorOf('elsewhere', 'application/vnd.oci.image.layer.nondistributable.v1.tar', {
    urls: ['https://example.com/layer'],
  })
  const body = manifestOf({layers: [layerOf('file')]}, {layers: [layer]})
  const recipe = {layers: [layerOf('file')]}
  const members = layoutMembers([namedManifest(body, 'app:1')], [...imageBlobs(recipe), blobMember(body)])
  const {stderr} = await imgtool('list', writeScratch(t, tarOf(members)))
  t.regex(stderr, /in the archive: it is left out on purpose, and is to be had from https:\/\/example\.com\/layer\n$/)
})
