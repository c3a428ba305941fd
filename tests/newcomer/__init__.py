"""The first steps of somebody who has just cloned the project and follows the documents."""
