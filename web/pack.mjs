// After the build: scripts and styles are kept and sent as gzip. They are most of what the daemon carries of these pages.
import { readdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const assets = new URL("dist/assets/", import.meta.url);
for (const name of readdirSync(assets).filter((name) => /\.(js|css)$/.test(name))) {
  const path = new URL(name, assets);
  writeFileSync(new URL(`${name}.gz`, assets), gzipSync(readFileSync(path), { level: 9 }));
  unlinkSync(path);
}
