const structures = JSON.parse(document.getElementById("structures").textContent);
structures.forEach((structure, k) => {
  const box = document.getElementById("viewer" + k);
  try {
    const viewer = $3Dmol.createViewer(box, {backgroundColor: "white"});
    if (structure.frames > 1) {
      viewer.addModelsAsFrames(structure.xyz, "xyz");
      viewer.animate({loop: "forward", interval: 80});
    } else {
      viewer.addModel(structure.xyz, "xyz");
    }
    viewer.setStyle({}, {sphere: {scale: 0.28}, stick: {radius: 0.1}});
    structure.edges.forEach(([start, end]) => viewer.addLine({start, end, color: "grey"}));
    viewer.zoomTo();
    viewer.render();
  } catch (error) {
    box.textContent = "this browser cannot show structures (" + error + ")";
  }
});
