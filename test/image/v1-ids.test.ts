import test from 'ava'
import {sha256} from '../../src/digest.ts'
import {v1Documents} from '../../src/image/v1-ids.ts'
import {openSource} from '../../src/open.ts'
import {fixture} from '../helpers/fixtures.ts'

// Saved by docker 20.10 in UTC.
for (const name of ['docker-20.10-one.tar', 'docker-20.10-several.tar', 'docker-20.10-shell.tar.xz']) {
  test(`v1 ids and documents are those that docker wrote to ${name}`, async (t) => {
    await using source = await openSource(fixture(name))
    for (const {config, layers} of source.set.images) {
      const documents = v1Documents(
        config,
        layers.map(({diffID}) => diffID!),
      )
      t.deepEqual(
        documents.map(({id}) => id),
        layers.map((layer, at) => layer.v1ID ?? documents[at]!.id),
      )
      t.true(documents.length > 0)
      for (const {id, json} of documents) {
        const blob = source.archive.blob(`${id}/json`)!
        t.is(json.toString(), (await blob.read(0, blob.size)).toString())
      }
    }
  })
}

test('an image without layers has no v1 ids', (t) => {
  t.deepEqual(v1Documents(Buffer.from('{}'), []), [])
})

test('a config that docker would refuse is refused', (t) => {
  t.throws(() => v1Documents(Buffer.from('{"created":"yesterday"}'), [sha256('')]), {code: 'DOCUMENT_INVALID'})
})
