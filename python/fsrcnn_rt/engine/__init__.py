"""What makes a picture larger: arrays and Pillow images, sizes, planes, streams, the choice of weights."""
