import test from 'ava'
import {sha256} from '../../src/digest.ts'
import {readConfig, toPlatform} from '../../src/image/config.ts'
import {defaultLimits} from '../../src/limits.ts'

const diffID = sha256('layer')
const read = (document: object) => readConfig(Buffer.from(JSON.stringify(document)), 'config', defaultLimits)

test('hashes the exact bytes of a config, not their meaning', (t) => {
  const bytes = Buffer.concat([
    Buffer.from(' {"rootfs":{"diff_ids":[]},"author":"\u00e9'),
    Buffer.from([0xff]),
    Buffer.from('"}\n'),
  ])
  const facts = readConfig(bytes, 'config', defaultLimits)
  t.is(facts.imageID, sha256(bytes))
  t.is(facts.config, bytes)
  t.is(facts.author, '\u00e9\ufffd')
})

test('leaves out what a config does not say, or says with nothing', (t) => {
  const facts = read({rootfs: {diff_ids: [diffID]}, created: null, author: '', history: [{}, {empty_layer: null}]})
  t.deepEqual(facts.history, [{emptyLayer: false}, {emptyLayer: false}])
  t.false('created' in facts)
  t.false('author' in facts)
  t.deepEqual(facts.platform, {os: 'linux', architecture: 'amd64'})
})

test('assumes what docker assumed where old documents are silent', (t) => {
  t.deepEqual(toPlatform({architecture: 'x86_64'}), {os: 'linux', architecture: 'amd64'})
  t.deepEqual(toPlatform({os: '', architecture: null, variant: ''}), {os: 'linux', architecture: 'amd64'})
  const arm = {os: 'linux', architecture: 'arm', variant: 'v7'}
  t.deepEqual(toPlatform(arm), arm)
})
