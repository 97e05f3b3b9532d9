import test from 'ava'
import fc from 'fast-check'
import {formatReference, parseReference, type Reference} from '../src/reference.ts'

const parsed: Record<string, Reference> = {
  'app.tar': {transport: 'auto', path: 'app.tar'},
  'app.tar:busybox:1.36': {transport: 'auto', path: 'app.tar', name: 'busybox:1.36'},
  'app.tar:localhost:5000/app:v1': {transport: 'auto', path: 'app.tar', name: 'localhost:5000/app:v1'},
  'app.tar:@0': {transport: 'auto', path: 'app.tar', index: 0},
  '/srv/images/app.tar:@12': {transport: 'auto', path: '/srv/images/app.tar', index: 12},
  '-': {transport: 'auto', path: '-'},
  '-:busybox:1.36': {transport: 'auto', path: '-', name: 'busybox:1.36'},
  '-:@1': {transport: 'auto', path: '-', index: 1},
  'docker-archive:app.tar': {transport: 'docker-archive', path: 'app.tar'},
  'docker-archive:app.tar:busybox:1.36': {transport: 'docker-archive', path: 'app.tar', name: 'busybox:1.36'},
  'docker-archive:app.tar:@2': {transport: 'docker-archive', path: 'app.tar', index: 2},
  'docker-1.10:app:v1': {transport: 'docker-1.10', path: 'app', name: 'v1'},
  'docker-v1:app': {transport: 'docker-v1', path: 'app'},
  'docker-root:/mnt/docker': {transport: 'docker-root', path: '/mnt/docker'},
  'docker-root:/mnt/docker:busybox:1.36': {transport: 'docker-root', path: '/mnt/docker', name: 'busybox:1.36'},
  'docker-root:docker:vfs': {transport: 'docker-root', path: 'docker', driver: 'vfs'},
  'docker-root:docker:vfs:vfs:1': {transport: 'docker-root', path: 'docker', driver: 'vfs', name: 'vfs:1'},
  'docker-root:docker:overlay2:@1': {transport: 'docker-root', path: 'docker', driver: 'overlay2', index: 1},
  'docker-root:docker:vfsx:1': {transport: 'docker-root', path: 'docker', name: 'vfsx:1'},
  'oci:layout': {transport: 'oci', path: 'layout'},
  'oci:layout:v1': {transport: 'oci', path: 'layout', name: 'v1'},
  'oci-archive:app.tar:v1': {transport: 'oci-archive', path: 'app.tar', name: 'v1'},
  'oci-archive:-:v1': {transport: 'oci-archive', path: '-', name: 'v1'},
  oci: {transport: 'auto', path: 'oci'},
}

for (const [text, reference] of Object.entries(parsed)) {
  test(`"${text}" is read and written back`, (t) => {
    t.deepEqual(parseReference(text), reference)
    t.is(formatReference(reference), text)
  })
}

test('slashes after a transport belong to the transport', (t) => {
  t.is(parseReference('docker-archive://app.tar').path, 'app.tar')
  t.is(parseReference('docker-archive:///srv/app.tar:v1').path, '/srv/app.tar')
  t.is(parseReference('docker-archive:////srv/app.tar').path, '//srv/app.tar')
})

test('the longest existing path wins over a name', (t) => {
  const files = new Set(['app', 'app:1', 'app:1:2'])
  const exists = (path: string) => files.has(path)
  t.deepEqual(parseReference('app:1:2', exists), {transport: 'auto', path: 'app:1:2'})
  t.deepEqual(parseReference('app:1:2:v1', exists), {transport: 'auto', path: 'app:1:2', name: 'v1'})
  t.deepEqual(parseReference('app:1:3', exists), {transport: 'auto', path: 'app:1', name: '3'})
  t.deepEqual(parseReference('app:2:3', exists), {transport: 'auto', path: 'app', name: '2:3'})
  t.deepEqual(parseReference('oci:app:1', exists), {transport: 'oci', path: 'app:1'})
  t.deepEqual(
    parseReference('app:', (path) => path === 'app:'),
    {transport: 'auto', path: 'app:'},
  )
})

test('standard input wins over a file whose name begins with a dash and a colon', (t) => {
  t.deepEqual(
    parseReference('-:v1', () => true),
    {transport: 'auto', path: '-', name: 'v1'},
  )
})

for (const text of [
  '',
  ':',
  ':v1',
  'app.tar:',
  'app.tar:@',
  'app.tar:@x',
  'app.tar:@-1',
  'app.tar:@99999999999999999999',
  'oci:',
  'docker-archive://',
  '-:',
  'a\0b',
]) {
  test(`${JSON.stringify(text)} is refused`, (t) => {
    t.throws(() => parseReference(text), {code: 'REFERENCE_INVALID'})
  })
}

for (const text of [
  'docker://busybox',
  'docker-daemon:busybox:latest',
  'containers-storage:busybox',
  'https://x/y.tar',
]) {
  test(`"${text}" is refused with a hint, unless it is a file`, (t) => {
    t.throws(() => parseReference(text), {code: 'REFERENCE_INVALID', message: /transport/})
    t.is(parseReference(text, (path) => path === text).path, text)
  })
}

test('what is not printable is escaped in the message', (t) => {
  t.throws(() => parseReference('\u001b[31m:'), {message: /\\x1b\[31m/})
})

const path = fc
  .string({
    minLength: 1,
    unit: fc.constantFrom('a', 'b', ':', '/', '.', '-', '@', ' ', 'é', 'oci:', 'docker-archive:', 'docker-root:'),
  })
  .filter((text) => !text.startsWith('-:'))
const selector = fc.oneof(
  fc.constant({}),
  fc.record({name: fc.string({minLength: 1}).filter((name) => !name.startsWith('@'))}),
  fc.record({index: fc.nat()}),
)
const explicit = fc.record({transport: fc.constantFrom('docker-archive', 'oci', 'oci-archive'), path})
const store = fc.record({
  transport: fc.constant('docker-root'),
  path,
  driver: fc.constantFrom('overlay2', 'overlay', 'vfs', 'zfs'),
})
const bare = fc.record({
  transport: fc.constant('auto'),
  path: path.filter((text) => !/^(oci|docker-archive|docker-root):/.test(text)),
})

test('reading is the inverse of writing', (t) => {
  fc.assert(
    fc.property(fc.oneof(explicit, bare, store), selector, (place, image) => {
      const reference = {...place, ...image} as Reference
      const exists = (candidate: string) => candidate === reference.path
      t.deepEqual(parseReference(formatReference(reference), exists), reference)
    }),
    {numRuns: 2000},
  )
})

test('writing is the inverse of reading, up to one spelling a reference', (t) => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      let reference: Reference
      try {
        reference = parseReference(text)
      } catch (error) {
        t.is((error as {code?: string}).code, 'REFERENCE_INVALID')
        return
      }
      t.deepEqual(parseReference(formatReference(reference)), reference)
    }),
  )
})
