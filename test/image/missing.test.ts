import test from 'ava'
import {ImgtoolError} from '../../src/errors.ts'
import {missingBlob, whyMissing} from '../../src/image/missing.ts'
import {sizedBlob} from '../helpers/images.ts'

test('stands for missing bytes: any reading says why they are missing', async (t) => {
  const error = new ImgtoolError('BLOB_MISSING', 'gone')
  const blob = missingBlob('a', 7, error)
  t.is(blob.size, 7)
  t.is(whyMissing(blob), error)
  t.is(whyMissing(sizedBlob('a')), undefined)
  await t.throwsAsync(blob.read(0, 1), {is: error})
  await t.throwsAsync(blob.stream()[Symbol.asyncIterator]().next(), {is: error})
})
