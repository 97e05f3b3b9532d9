import test from 'ava'
import {ImgtoolError} from '../../src/errors.ts'
import {missingBlob, requireWhole, whyMissing} from '../../src/image/missing.ts'
import {imageOf, sizedBlob} from '../helpers/images.ts'

test('stands for missing bytes: any reading says why they are missing', async (t) => {
  const error = new ImgtoolError('BLOB_MISSING', 'gone')
  const blob = missingBlob('a', 7, error)
  t.is(blob.size, 7)
  t.is(whyMissing(blob), error)
  t.is(whyMissing(sizedBlob('a')), undefined)
  await t.throwsAsync(blob.read(0, 1), {is: error})
  await t.throwsAsync(blob.stream()[Symbol.asyncIterator]().next(), {is: error})
})

test('an image that is not whole is refused with what it lacks', (t) => {
  const error = new ImgtoolError('BLOB_MISSING', 'gone')
  const broken = new ImgtoolError('PARENT_MISSING', 'cut')
  const layers = [sizedBlob('a'), missingBlob('b', 7, error)].map((blob, index) => ({index, blob}))
  t.is(
    t.throws(() => requireWhole({layers, broken})),
    broken,
  )
  t.like(
    t.throws(() => requireWhole({layers})),
    {code: 'BLOB_MISSING', message: 'gone', details: {layer: 1}},
  )
  t.notThrows(() => requireWhole(imageOf([])))
})
