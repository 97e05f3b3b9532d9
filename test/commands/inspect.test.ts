import test from 'ava'
import {sha256} from '../../src/digest.ts'
import {chainIDs} from '../../src/image/chain.ts'
import type {InspectedImage} from '../../src/view/inspect.ts'
import {imgtool, spawnImgtool} from '../helpers/cli.ts'
import {expected, fixture} from '../helpers/fixtures.ts'

/** Every image of every fixture, with a reference to it. */
const images = Object.entries(expected).flatMap(([name, archive]) =>
  archive.images.map((image) => {
    const [first] = image.names
    const isOne = archive.images.filter((other) => other.names.includes(first ?? '')).length === 1
    const platform = image.platform === undefined || isOne ? [] : ['--platform', image.platform]
    return {name, image, words: [first === undefined ? fixture(name) : `${fixture(name)}:${first}`, ...platform]}
  }),
)
const named = images.filter(({image}) => image.names.length > 0)

for (const {name, image, words} of named) {
  test.serial(`inspect knows ${image.names[0]} for ${image.platform ?? 'any platform'} in ${name}`, async (t) => {
    const {error, stdout} = await imgtool('inspect', ...words, '--json')
    t.is(error, undefined)
    const inspected = JSON.parse(stdout) as InspectedImage
    t.is(inspected.imageID, image.imageID as never)
    t.deepEqual(inspected.names.toSorted(), image.names.toSorted())
    t.is(inspected.manifestDigest, image.manifestDigest as never)
    t.is(inspected.history.length, image.steps ?? inspected.history.length)
    const diffIDs = inspected.layers.map(({diffID}) => diffID!)
    if (image.diffIDs) t.deepEqual(diffIDs, image.diffIDs as never)
    t.deepEqual(
      inspected.layers.map(({chainID}) => chainID),
      chainIDs(diffIDs),
    )
    t.true(inspected.sizeExact)
  })

  test.serial(
    `inspect writes the exact config of ${image.names[0]} for ${image.platform ?? 'any platform'} in ${name}`,
    async (t) => {
      const {stdout} = await imgtool('inspect', ...words, '--config')
      t.is(sha256(Buffer.from(stdout)), image.imageID as never)
      if (image.config !== undefined) t.is(stdout, image.config)
    },
  )
}

test('inspect writes the exact config to a pipe', async (t) => {
  const {image, words} = named[0]!
  const {status, stdout} = await spawnImgtool(['inspect', ...words, '--config'])
  t.is(status, 0)
  t.is(sha256(stdout), image.imageID as never)
})

for (const {name, image, words} of named.filter((each) => each.image.manifestDigest !== undefined)) {
  test.serial(`inspect writes the exact manifest of ${image.names[0]} for ${image.platform} in ${name}`, async (t) => {
    const {stdout} = await imgtool('inspect', ...words, '--raw', '--json')
    t.is(sha256(Buffer.from(stdout)), image.manifestDigest as never)
  })
}

test.serial('inspect summarises an image', async (t) => {
  const {stdout} = await imgtool('inspect', fixture('docker-20.10-one.tar'))
  t.regex(stdout, /^Names: +shop\/web:1\.0\nImage ID: +sha256:[0-9a-f]{64}\n/)
  t.regex(stdout, /\nCmd: +\["--port","8080"\]\n/)
  t.regex(stdout, /\nLAYER +DIFF ID +CHAIN ID +COMPRESSION +STORED +SIZE\n {4}0 /)
})

test.serial('inspect says that there is no manifest before docker 1.10, and what to do', async (t) => {
  const {error, stderr} = await imgtool('inspect', fixture('docker-1.9.tar.gz'), '--raw')
  t.is(error?.oclif?.exit, 1)
  t.regex(stderr, /^Error: Cannot print the manifest.*\nHint: Use --config/)
})

test.serial('history shows an image newest first, and its document oldest first', async (t) => {
  const name = fixture('docker-20.10-one.tar')
  const lines = (await imgtool('history', name)).stdout.trimEnd().split('\n')
  const [image] = expected['docker-20.10-one.tar']?.images ?? []
  t.is(lines.length, 1 + (image?.steps ?? 0))
  t.regex(lines[1] ?? '', /^\(empty\) +\S+ +CMD \["--port" "8080"\] +0 B/)
  const {history} = JSON.parse((await imgtool('history', name, '--json')).stdout)
  t.is(history[0].diffID, image?.diffIDs?.[0])
  t.is(history.at(-1).empty, true)
  const ids = (await imgtool('history', name, '-q', '--no-trunc')).stdout.trimEnd().split('\n')
  t.deepEqual(ids, image?.diffIDs?.toReversed() as string[])
})

test.serial('an image has to be chosen where there are several, from references that can be copied', async (t) => {
  const name = fixture('docker-20.10-several.tar')
  const {error, stderr} = await imgtool('inspect', name)
  t.is(error?.oclif?.exit, 1)
  t.regex(stderr, /^Error: Cannot choose among 4 images of .*\nHint: /)
  const references = /^Hint: Name one: (.*)$/m.exec(stderr)?.[1]?.split(', ') ?? []
  t.is(references.length, 4)
  for (const reference of references) t.is((await imgtool('inspect', reference)).error, undefined)
})
