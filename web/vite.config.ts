import { defineConfig } from "vitest/config";

// The daemon serves `/` from index.html and `/rooms/{room}` from room.html, so asset
// addresses are absolute. Nothing is inlined: a strict Content-Security-Policy works.
export default defineConfig({
  base: "/",
  build: {
    outDir: "dist",
    assetsDir: "assets",
    assetsInlineLimit: 0,
    target: "es2020",
    chunkSizeWarningLimit: 700,
    rollupOptions: { input: { index: "index.html", room: "room.html" } },
  },
  test: { environment: "node", include: ["test/**/*.test.ts"] },
});
