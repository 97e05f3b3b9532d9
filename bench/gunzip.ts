/** A floor: decompresses files one after the other, and does nothing with the bytes. */
import {createReadStream} from 'node:fs'
import process from 'node:process'
import {Writable} from 'node:stream'
import {pipeline} from 'node:stream/promises'
import {createGunzip} from 'node:zlib'

const chunkSize = 1 << 20

for (const file of process.argv.slice(2)) {
  const nowhere = new Writable({write: (_chunk, _encoding, done) => done()})
  await pipeline(createReadStream(file, {highWaterMark: chunkSize}), createGunzip({chunkSize}), nowhere)
}
