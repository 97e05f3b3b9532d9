import test from 'ava'
import type {Finding, Verification} from '../../src/verify.ts'
import {formatVerification, verifiedDocument} from '../../src/view/verify.ts'

const mismatch: Finding = {
  severity: 'error',
  code: 'DIFF_ID_MISMATCH',
  message: '"a/layer.tar" does not have its diffID',
  image: 'app:1',
  layer: 3,
  member: 'a/layer.tar',
  expected: {value: 'sha256:aa', from: 'diff_ids[3] of the config'},
  found: {value: 'sha256:bb', from: 'sha256 of the decompressed bytes'},
}
const note: Finding = {severity: 'note', code: 'HISTORY_ABSENT', message: 'No history\u202e', entry: 'b\xe9\n'}
const verification: Verification = {
  archive: 'app\x1b.tar',
  format: 'docker-archive',
  images: [{label: 'app:1', names: ['app:1'], diffIDs: [], chainIDs: []}],
  layers: 4,
  blobs: 6,
  bytes: 12_300,
  findings: [note, mismatch],
  omitted: 0,
}

test('a verification is a line, and below it the findings, the worst first', (t) => {
  t.deepEqual(formatVerification(verification), [
    'app\\x1b.tar: wrong in 1 way, 1 note (docker-archive, 1 image, 4 layers, 12.3 kB)',
    '  error: "a/layer.tar" does not have its diffID (app:1, layer 3)',
    '    expected: sha256:aa, diff_ids[3] of the config',
    '    found:    sha256:bb, sha256 of the decompressed bytes',
    '  note: No history\\u{202e} (b\\xe9\\x0a)',
  ])
})

test('a place is left out only where the message names it, not where it is a part of another word', (t) => {
  const line = (finding: Pick<Finding, 'message' | 'image' | 'layer' | 'member' | 'entry'>) =>
    formatVerification({...verification, findings: [{severity: 'note', code: 'HISTORY_ABSENT', ...finding}]})[1]
  const message = 'Cannot find layer 12 of "app" and of "/etc/x"'
  t.true(line({message, image: 'a', layer: 1, member: 'pp', entry: 'x'})?.endsWith(' (a, layer 1, pp, x)'))
  t.is(line({message, image: 'app', layer: 12, entry: 'etc/x'}), `  note: ${message}`)
  const id = 'a1'.repeat(32)
  t.is(line({message: `The v1 layer ${id} is odd`, member: id}), `  note: The v1 layer ${id} is odd`)
})

test('quiet leaves out what is no error', (t) => {
  t.is(formatVerification(verification, {quiet: true}).length, 4)
})

test('what is whole takes one line', (t) => {
  t.deepEqual(formatVerification({...verification, findings: []}), [
    'app\\x1b.tar: sound (docker-archive, 1 image, 4 layers, 12.3 kB)',
  ])
})

test('many findings of one kind are cut, and the document has them all', (t) => {
  const findings = Array.from({length: 25}, (_, n) => ({...note, message: `note ${n}`}))
  const many = {...verification, findings, omitted: 7}
  const lines = formatVerification(many)
  t.is(lines.length, 12)
  t.is(lines.at(-1), '  note: 15 more of HISTORY_ABSENT; --json has all')
  t.regex(lines[0]!, /sound, 25 notes, 7 findings more/)
  t.like(verifiedDocument(many), {status: 'sound', counts: {error: 0, warning: 0, note: 25}, omitted: 7})
})

test('the document names members and entries in printable bytes', (t) => {
  const document = verifiedDocument(verification)
  t.like(document, {archive: 'app\x1b.tar', status: 'wrong', counts: {error: 1, warning: 0, note: 1}, layers: 4})
  t.like('findings' in document ? document.findings : [], {0: {entry: 'b\\xe9\\x0a'}, 1: {member: 'a/layer.tar'}})
})
