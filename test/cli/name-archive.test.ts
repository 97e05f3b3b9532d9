import test from 'ava'
import {nameArchive} from '../../src/cli/name-archive.ts'
import {ImgtoolError} from '../../src/errors.ts'

test('an error names the archive that it is about, and none when it is about the target or an option', (t) => {
  const archiveOf = (error: ImgtoolError) => (nameArchive(error, 'app.tar') as ImgtoolError).details.archive
  t.is(archiveOf(new ImgtoolError('DIGEST_MISMATCH', 'x')), 'app.tar')
  t.is(archiveOf(new ImgtoolError('TARGET_EXISTS', 'x')), undefined)
  t.is(archiveOf(new ImgtoolError('REFERENCE_INVALID', 'x')), undefined)
  t.is(archiveOf(new ImgtoolError('NO_SPACE', 'x')), undefined)
  t.is(archiveOf(new ImgtoolError('NO_SPACE', 'x', {layer: 0})), 'app.tar')
  t.is(archiveOf(new ImgtoolError('DIGEST_MISMATCH', 'x', {archive: 'old.tar'})), 'old.tar')
})

test('a bug stays what it is', (t) => {
  const bug = new TypeError('bug')
  t.is(nameArchive(bug, 'app.tar'), bug)
})
